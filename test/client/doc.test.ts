import t from 'tap'
import { type DocOptions, type Status, createDoc, memoryStorage } from '../../lib/client/index.js'
import { createRoomCipher } from '../../lib/client/encryption.js'
import { connectionOf } from '../../lib/client/status.js'
import type { WebSocketClass } from '../../lib/client/socket.js'
import type { RoomStorage, Storage } from '../../lib/client/storage.js'
import { createLocks } from '../../lib/client/locks.js'
import { passingRoom } from '../../lib/client/storage-memory.js'
import { levelStorage } from '../../lib/client/storage-level.js'
import type { Clock } from '../../lib/clock.js'
import { NodalmergeError } from '../../lib/errors.js'
import { nobleBlake3 } from '../../lib/protocol/blake3.js'
import { createFakeClock } from '../../lib/testing/clock.js'
import { createSigner } from '../../lib/crypto/ed25519.js'
import { host } from '../plugin/host.js'
import { QUIET, open, until, untilStatus, wire } from './doc-rig.js'
import { faultyLevel } from './storage-faults.js'
import { node } from './storage-nodes.js'
import { proxy } from './doc-proxy.js'
import { createOriginalServer } from './original-server.js'

const NOWHERE = 'ws://127.0.0.1:9'
const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

/** Storage whose rooms are what `change` makes of rooms in memory. */
function changed (change: (room: RoomStorage) => Partial<RoomStorage>): Storage & { closed: number } {
  const memory = memoryStorage()
  const storage = {
    closed: 0,
    async open (name: string) {
      const room = await memory.open(name)
      const close = (): Promise<void> => {
        storage.closed++
        return room.close()
      }
      return { ...room, close, ...change(room) }
    }
  }
  return storage
}

const failing = async (): Promise<never> => { throw new Error('the disk is full') }

t.test('DO-1 what two documents write is the same in both, in all its kinds, and on the server', async (t) => {
  const { url, app } = await host(t)
  const a = await open(t, { url, room: 'plans' })
  const b = await open(t, { url: url.replace('ws:', 'http:'), room: 'plans' })
  const heard: string[] = []
  b.on('change', ({ source, maps, texts, lists }) => heard.push(`${source} ${maps.length} ${texts.length} ${lists.length}`))
  a.map('page').set('title', 'Plan')
  a.text('page/body').insert(0, 'hello')
  a.list('page/todo').push('one')
  t.equal(a.status.get().unsaved > 0, false, 'a snapshot is of the last turn')
  await a.flush()
  await b.whenSynced()
  await until(b, () => b.list('page/todo').length === 1 && b.map('page').get('title') === 'Plan' && b.text('page/body').length === 5, 'all of it')
  t.equal(b.text('page/body').toString(), 'hello')
  t.same(b.list('page/todo').toArray().map(({ content }) => content), ['one'])
  t.ok(heard.length > 0 && heard.every((line) => line.startsWith('remote')))
  t.equal(a.canonical.text('page/body').toString(), 'hello')
  const state = await app.nodalmerge.room('plans').state()
  t.equal(state.text('page/body').toString(), 'hello')
  const undo = a.undoManager()
  a.transact(() => { a.map('page').set('title', 'Other') })
  undo.undo()
  t.equal(a.map('page').get('title'), 'Plan')
  t.match(a.pubkey, /^[0-9a-f]{64}$/)
  t.equal(a.author, a.pubkey)
  t.equal(typeof a.sessionId, 'number')
  t.not(a.sessionId, b.sessionId)
  t.equal(a.room, 'plans')
  await a.close()
  t.equal(a.sessionId, null)
})

t.test('DO-2 options are checked before anything is opened', async (t) => {
  let opened = 0
  const storage: Storage = { open: async () => { opened++; throw new Error('not to be opened') } }
  const good = { url: NOWHERE, room: 'plans', storage }
  const wrong: Array<[object | undefined, typeof TypeError | typeof RangeError]> = [
    [undefined, TypeError], [{}, TypeError], [{ url: NOWHERE }, TypeError], [{ room: 'x' }, TypeError], [{ ...good, url: 5 }, TypeError],
    [{ ...good, url: 'plans' }, RangeError], [{ ...good, room: '' }, RangeError], [{ ...good, colour: 'red' }, RangeError],
    [{ ...good, storage: 'disk' }, TypeError], [{ ...good, identity: 'me' }, TypeError], [{ ...good, auth: 'token' }, TypeError],
    [{ ...good, subscribe: 'x' }, TypeError], [{ ...good, subscribe: [5] }, TypeError], [{ ...good, connect: 'yes' }, TypeError],
    [{ ...good, flushMs: '5' }, TypeError], [{ ...good, flushMs: -1 }, RangeError], [{ ...good, flushMs: NaN }, RangeError],
    [{ ...good, blobs: 5 }, TypeError], [{ ...good, blobs: 'some' }, RangeError], [{ ...good, presence: 5 }, TypeError],
    [{ ...good, presence: { heartbeatMs: 'x' } }, TypeError], [{ ...good, presence: { staleMs: -1 } }, RangeError],
    [{ ...good, reconnect: { minMs: '1' } }, TypeError], [{ ...good, reconnect: { jitter: -1 } }, RangeError], [{ ...good, encryption: 'key' }, TypeError],
    [{ ...good, webSocket: {} }, TypeError], [{ ...good, logger: 5 }, TypeError], [{ ...good, signal: 5 }, TypeError], [{ ...good, clock: 5 }, TypeError],
    [{ ...good, random: 0.5 }, TypeError]
  ]
  for (const [options, kind] of wrong) await t.rejects(createDoc(options as unknown as DocOptions), kind, JSON.stringify(options))
  t.equal(opened, 0)
  await t.rejects(createDoc({ url: NOWHERE, room: 'plans', identity: new Uint8Array(5) }), RangeError)
  const bad = changed(() => ({}))
  await t.rejects(createDoc({ url: NOWHERE, room: 'plans', identity: new Uint8Array(5), storage: bad }), RangeError)
  t.equal(bad.closed, 1)
  const doc = await open(t, { url: NOWHERE, room: 'plans', connect: false, storage: undefined, flushMs: undefined, presence: { staleMs: undefined } } as unknown as DocOptions)
  t.throws(() => doc.on('chance' as 'change', () => {}), RangeError)
  t.throws(() => doc.on('change', 5 as unknown as () => void), TypeError)
  t.throws(() => { doc.subscribe('x' as unknown as string[]) }, TypeError)
  await t.rejects(createDoc({ url: NOWHERE, room: 'plans', clock: {} as Clock }), TypeError)
  const short = changed(() => ({ identity: async () => ({ identity: new Uint8Array(3), writer: new Uint8Array(3) }) }))
  await t.rejects(createDoc({ url: NOWHERE, room: 'plans', storage: short }), RangeError)
  t.equal(short.closed, 1)
  t.throws(() => { doc.subscribe([5] as unknown as string[]) }, TypeError)
})

t.test('DO-3 a status stays the same object until it is another one, and is told once', async (t) => {
  const { url } = await host(t)
  const way = wire()
  const doc = await open(t, { url, room: 'plans', connect: false, webSocket: way.Socket, storage: memoryStorage() })
  const told: Status[] = []
  const events: Status[] = []
  doc.status.subscribe((now) => told.push(now))
  doc.on('status', (now) => events.push(now))
  const first = doc.status.get()
  t.same(first, { connection: 'offline', synced: false, unsaved: 0, unsent: 0, unacknowledged: 0, blobs: 0, storage: 'ok' })
  doc.map('m').set('k', 1)
  t.equal(doc.status.get(), first)
  await doc.saved()
  t.match(doc.status.get(), { unsaved: 0, unsent: 1, unacknowledged: 1 })
  t.equal(doc.status.get(), doc.status.get())
  doc.connect()
  await doc.whenSynced()
  t.match(doc.status.get(), { connection: 'open', synced: true, unsent: 0, unacknowledged: 0 })
  doc.disconnect()
  await turn()
  t.match(doc.status.get(), { connection: 'offline', synced: false })
  t.same(connectionOf({ state: 'waiting', retryInMs: 5, attempt: 1 }), { connection: 'waiting', retryInMs: 5 })
  t.same(told, events)
  for (const [i, status] of told.entries()) if (i > 0) t.strictNotSame(status, told[i - 1])
  for (const connection of ['connecting', 'greeting', 'open']) t.ok(told.some((status) => status.connection === connection), connection)
})

t.test('DO-4 waiting ends with what was waited for, a timeout, a signal, a refusal or the end', async (t) => {
  const { url, app } = await host(t)
  await app.nodalmerge.room('locked').lock(createSigner(new Uint8Array(32).fill(9)).publicKey)
  const clock = createFakeClock()
  const doc = await open(t, { url, room: 'locked', connect: false, clock })
  doc.map('m').set('k', 1)
  const late = doc.whenSynced({ timeout: 1000 })
  const flushed = doc.flush({ timeout: 500 })
  clock.advance(1000)
  await t.rejects(late, { code: 'client.timeout' })
  await t.rejects(flushed, { code: 'client.timeout' })
  const control = new AbortController()
  const stopped = doc.whenSynced({ signal: control.signal })
  control.abort(new Error('enough'))
  await t.rejects(stopped, /enough/)
  await t.rejects(doc.flush({ signal: control.signal }), /enough/)
  const denied = doc.whenSynced()
  doc.connect()
  await t.rejects(denied, { code: 'client.denied' })
  t.match(doc.status.get(), { connection: 'denied', code: 1008, reason: /token/ })
  await t.rejects(doc.flush(), { code: 'client.denied' }, 'at once')
  doc.disconnect()
  const ended = doc.whenSynced({ signal: new AbortController().signal })
  await turn()
  await doc.close()
  await t.rejects(ended, { code: 'client.closed' })
  t.equal(clock.pending, 0, 'no timer is left')
  await t.rejects(doc.whenSynced(), { code: 'client.closed' })
})

t.test('DO-5 waiting looks at what was written in the same turn', async (t) => {
  const { url } = await host(t)
  const way = wire()
  const doc = await open(t, { url, room: 'plans', webSocket: way.Socket, flushMs: 60_000 })
  await doc.whenSynced()
  way.into = (text) => !text.includes('pack-ack')
  doc.map('m').set('k', 1)
  await t.rejects(doc.whenSynced({ timeout: 30 }), { code: 'client.timeout' })
  doc.text('t').insert(0, 'typed')
  await doc.saved()
  t.equal(doc.status.get().unacknowledged, 2, 'typing is a node by then')
  way.into = () => true
  way.cut()
  await doc.flush()
  t.equal(doc.canonical.text('t').toString(), 'typed')
})

t.test('DO-6 storage that cannot be opened, or not be read, is done without; another key writes', async (t) => {
  const { url } = await host(t)
  const identity = new Uint8Array(32).fill(7)
  const cases: Record<string, Storage> = {
    open: { open: failing },
    known: { open: async () => { throw new NodalmergeError('client.storage') } },
    identity: changed(() => ({ identity: failing })),
    load: changed(() => ({ load: async function * () { throw new NodalmergeError('client.storage') } })),
    pending: changed(() => ({ pending: failing })),
    blobs: changed(() => ({ unsentBlobs: failing }))
  }
  for (const [name, storage] of Object.entries(cases)) {
    const doc = await open(t, { url, room: name, storage, identity })
    const errors: unknown[] = []
    doc.on('error', (error) => errors.push(error))
    t.equal(doc.status.get().storage, 'failed', name)
    t.equal(doc.pubkey, Buffer.from(createSigner(identity).publicKey).toString('hex'))
    t.not(doc.author, doc.pubkey, 'what was written with the key before is not known')
    doc.map('m').set('k', 1)
    await doc.flush()
    t.match(errors, [{ code: 'client.storage' }], name)
    await t.rejects(doc.saved(), { code: 'client.storage' })
    if ('closed' in storage) t.equal(storage.closed, 1, `${name}: it is let go of`)
  }
  const ended = changed(() => ({ load: async function * () { throw new RangeError('nothing of storage') } }))
  await t.rejects(createDoc({ url, room: 'x', storage: ended }), RangeError)
  t.equal(ended.closed, 1)
})

t.test('DO-7 storage that fails while the document is open is told, and told again when it works', async (t) => {
  const { url } = await host(t)
  const level = faultyLevel()
  const storage = levelStorage({ name: 'x', locks: createLocks(), connect: () => level })
  const clock = createFakeClock()
  const doc = await open(t, { url, room: 'plans', storage, clock, connect: false })
  const errors: unknown[] = []
  doc.on('error', (error) => errors.push(error))
  level.fail.push('lost')
  doc.map('m').set('k', 1)
  await t.rejects(doc.saved(), { code: 'client.storage' })
  t.match(doc.status.get(), { storage: 'failed', unsaved: 1 })
  t.match(errors, [{ code: 'client.storage' }])
  clock.advance(5000)
  await doc.saved()
  t.match(doc.status.get(), { storage: 'ok', unsaved: 0 })
  t.equal(errors.length, 1)
})

t.test('DO-8 a document without storage keeps no second copy of its nodes, but its blobs', async (t) => {
  const room = await passingRoom('plans')
  await room.write({ pending: [node(1)], confirmed: [node(2)] })
  for await (const pack of room.load()) t.fail(`${pack.length} bytes were kept`)
  t.same(await room.pending(), [])
  t.same((await room.identity()).identity.length, 32)
  await room.close()
  const { url } = await host(t)
  const doc = await open(t, { url, room: 'plans' })
  t.equal(doc.status.get().storage, 'memory')
  const hash = await doc.blobs.put(Uint8Array.of(1, 2, 3))
  await doc.flush()
  t.same(await doc.blobs.get(hash), Uint8Array.of(1, 2, 3))
})

t.test('DO-9 every event is told, and what a listener throws is an error', async (t) => {
  const { url, app } = await host(t)
  await app.nodalmerge.room('plans').setPolicy({ rules: [{ path: 'secret/**', write: [] }] })
  const a = await open(t, { url, room: 'plans', connect: false })
  const b = await open(t, { url, room: 'plans', blobs: 'eager', presence: { throttleMs: 0 } })
  const heard: string[] = []
  for (const name of ['change', 'status', 'rejection', 'conflict', 'presence', 'peer', 'blob', 'error'] as const) b.on(name, () => heard.push(name))
  await b.whenSynced()
  a.map('m').set('k', 'a')
  b.map('m').set('k', 'b')
  b.map('secret').set('k', 1)
  b.on('rejection', (rejection) => {
    t.match(rejection, { code: 'reject.policy_violation', reauthored: 0 })
    t.equal(b.map('secret').get('k'), undefined, 'it is gone by then')
    throw new Error('a listener that breaks')
  })
  a.connect()
  await a.whenSynced()
  a.presence().set({ cursor: 1 })
  await a.map('m').setBlob('image', Uint8Array.of(1, 2, 3))
  await until(b, () => ['change', 'status', 'rejection', 'conflict', 'presence', 'peer', 'blob', 'error'].every((name) => heard.includes(name)), 'every event')
  t.match(b.presence<{ cursor: number }>().others(), [{ pubkey: a.pubkey, state: { cursor: 1 } }])
  const hash = b.map('m').blob('image') ?? ''
  t.same(await b.blobs.get(hash), Uint8Array.of(1, 2, 3))
  const peers: unknown[] = []
  b.on('peer', (event) => peers.push(event))
  await a.close()
  await until(b, () => peers.length > 0 && b.presence().others().length === 0, 'who leaves')
  t.match(peers, [{ type: 'left', pubkey: a.pubkey, peerId: a.pubkey, peerType: 'ui' }])
})

t.test('DO-10 faults nobody listens to go to the logger, and so does what their listeners throw', async (t) => {
  const warned: unknown[] = []
  const logger = { warn: (...heard: unknown[]) => { warned.push(heard.at(1)) } }
  const doc = await open(t, { url: NOWHERE, room: 'plans', connect: false, logger })
  await turn()
  await turn()
  doc.on('change', () => { throw new Error('one') })
  doc.map('m').set('k', 1)
  t.match(warned, [/one/])
  const stop = doc.on('error', () => { throw new Error('two') })
  doc.map('m').set('k', 2)
  t.match(warned, [/one/, /two/])
  stop()
  stop()
  doc.map('m').set('k', 3)
  t.match(warned, [/one/, /two/, /one/])
  const original = console.warn
  t.teardown(() => { console.warn = original })
  const printed: unknown[] = []
  console.warn = (...heard: unknown[]) => { printed.push(heard) }
  const plain = await createDoc({ url: NOWHERE, room: 'plans', storage: { open: failing } })
  await turn()
  await turn()
  await plain.close()
  t.match(printed, [['nodalmerge:', { code: 'client.storage' }]])
})

t.test('DO-11 two documents on one storage are two sessions and two writers of one user, and see each other', async (t) => {
  const { url } = await host(t)
  const storage = memoryStorage()
  const [a, b] = [await open(t, { url, room: 'plans', storage }), await open(t, { url, room: 'plans', storage })]
  t.equal(a.pubkey, b.pubkey)
  t.not(a.author, b.author)
  await Promise.all([a.whenSynced(), b.whenSynced()])
  a.presence().set({ name: 'a' })
  b.presence().setField('name', 'b')
  await until(a, () => a.presence().others().length === 1, 'the other tab')
  await until(b, () => b.presence().others().length === 1, 'the other tab')
  t.match(a.presence().others(), [{ sessionId: b.sessionId, pubkey: a.pubkey, state: { name: 'b' } }])
  a.text('t').insert(0, 'a')
  b.text('t').insert(0, 'b')
  await Promise.all([a.flush(), b.flush()])
  await until(a, () => a.text('t').length === 2, 'both')
  await until(b, () => b.text('t').length === 2, 'both')
  t.equal(a.text('t').toString(), b.text('t').toString())
})

t.test('DO-12 a signal closes the document, whenever it comes', async (t) => {
  const { url } = await host(t)
  const aborted = AbortSignal.abort(new Error('too late'))
  await t.rejects(createDoc({ url, room: 'plans', signal: aborted }), /too late/)
  const control = new AbortController()
  const storage = changed(() => ({ unsentBlobs: async () => { control.abort(new Error('meanwhile')); return [] } }))
  await t.rejects(createDoc({ url, room: 'plans', signal: control.signal, storage }), /meanwhile/)
  t.equal(storage.closed, 1)
  const later = new AbortController()
  const doc = await createDoc({ url, room: 'plans', signal: later.signal, logger: QUIET, storage: changed(() => ({ close: failing })) })
  const errors: unknown[] = []
  doc.on('error', (error) => errors.push(error))
  await doc.whenSynced()
  later.abort()
  await until(doc, () => errors.length > 0, 'the end')
  t.equal(doc.status.get().connection, 'closed')
  t.match(errors, [/the disk is full/])
  t.throws(() => { doc.map('m').set('k', 1) }, { code: 'client.closed' })
})

t.test('DO-13 the end comes once, brings everything into storage and leaves nothing behind', async (t) => {
  const { url } = await host(t)
  const storage = memoryStorage()
  const clock = createFakeClock()
  const doc = await open(t, { url, room: 'plans', storage, clock, flushMs: 60_000, connect: false, signal: new AbortController().signal })
  doc.text('t').insert(0, 'typed')
  doc.presence().set({ here: true })
  await Promise.all([doc.close(), doc.close(), doc[Symbol.asyncDispose]()])
  t.equal(clock.pending, 0)
  t.equal(doc.status.get().connection, 'closed')
  doc.connect()
  doc.reauth()
  t.equal(doc.status.get().connection, 'closed')
  const again = await open(t, { url, room: 'plans', storage })
  t.equal(again.text('t').toString(), 'typed')
  await again.flush()
})

t.test('DO-14 with an original server a session has no number, and ends all the same', async (t) => {
  const clock = createFakeClock()
  const server = createOriginalServer({ blake3: nobleBlake3, clock })
  const open = class { constructor (url: string) { return server.open(url) } } as unknown as WebSocketClass
  const doc = await createDoc({ url: 'ws://localhost', room: 'plans', webSocket: open, clock, logger: QUIET })
  t.teardown(() => doc.close())
  doc.map('m').set('k', 1)
  for (let i = 0; i < 100 && !doc.status.get().synced; i++) {
    await turn()
    clock.advance(50)
  }
  t.match(doc.status.get(), { connection: 'open', synced: true })
  t.equal(doc.sessionId, null)
  server.drop()
  for (let i = 0; i < 5; i++) await turn()
  t.match(doc.status.get(), { connection: 'waiting', synced: false, reason: /./ })
  t.ok((doc.status.get().retryInMs ?? 0) > 0)
  doc.map('m').set('k', 2)
  await doc.saved()
  t.match(doc.status.get(), { unsent: 1, unacknowledged: 1 })
})

t.test('DO-24 a server that lacks what it said it had is greeted anew', async (t) => {
  const { url } = await host(t)
  const way = await proxy(t, url)
  const clock = createFakeClock()
  const doc = await open(t, { url: way.url, room: 'plans', clock })
  await doc.whenSynced()
  way.down = (text) => {
    const { type, id } = JSON.parse(text) as { type: string, id: number }
    if (type !== 'pack-ack') return text
    return JSON.stringify({ type, id, incoming_count: 1, accepted_count: 0, rejected_count: 2, rejected: [] })
  }
  doc.map('m').set('k', 1)
  const time = setInterval(() => { clock.advance(1000) }, 5)
  t.teardown(() => { clearInterval(time) })
  await until(doc, () => way.passages.length > 1, 'another greeting')
  way.down = (text) => text
  await doc.flush()
})

t.test('DO-15 another token is had when it is asked for, also after a refusal', async (t) => {
  const { url, app } = await host(t)
  const key = createSigner(new Uint8Array(32).fill(9))
  await app.nodalmerge.room('plans').lock(key.publicKey)
  let asked = 0
  const doc = await open(t, { url, room: 'plans', auth: () => { asked++; return null } })
  await untilStatus(doc, ({ connection }) => connection === 'denied')
  doc.reauth()
  await untilStatus(doc, ({ connection }) => connection !== 'denied')
  await untilStatus(doc, ({ connection }) => connection === 'denied')
  t.equal(asked, 2)
})

t.test('DO-16 an encrypted document is read by who has the key', async (t) => {
  const { url, app } = await host(t)
  const encryption = createRoomCipher(new Uint8Array(32).fill(1))
  const a = await open(t, { url, room: 'plans', encryption })
  const b = await open(t, { url, room: 'plans', encryption: createRoomCipher(new Uint8Array(32).fill(1)) })
  const other = await open(t, { url, room: 'plans', encryption: createRoomCipher(new Uint8Array(32).fill(2)) })
  a.map('m').set('k', 'hidden')
  a.text('t').insert(0, 'words')
  a.list('l').push('item')
  await a.flush()
  await until(b, () => b.list('l').length === 1 && b.text('t').length === 5, 'all of it')
  t.equal(b.map('m').get('k'), 'hidden')
  await other.whenSynced()
  other.map('m').set('own', 1)
  await other.flush()
  t.equal(other.map('m').get('k'), undefined)
  await until(b, () => b.status.get().synced, 'nodes of another key harm nothing')
  t.equal(b.text('t').toString(), 'words')
  t.equal((await app.nodalmerge.room('plans').state()).text('t').toString(), '')
})
