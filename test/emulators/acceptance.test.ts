import t, { type Test } from 'tap'
import { randomBytes } from 'node:crypto'
import { loadBlake3 } from '../../lib/protocol/blake3-wasm.js'
import { type MakeArena, agree, barrier, bounded, miniArena, scene } from './arena.js'
import { IBF_KEYS } from './ibf32.js'
import { MST_KEYS } from './mst.js'
import { pluginArena } from './plugin-arena.js'

const blake3 = await loadBlake3([...IBF_KEYS, ...MST_KEYS])

t.test('the acceptance list against the small server, which proves the emulators', async (t) => { acceptance(t, miniArena(blake3)) })
t.test('the acceptance list against the plugin', async (t) => { acceptance(t, pluginArena(t)) })

/** The acceptance list of spec/client.md §12.1. */
function acceptance (t: Test, make: MakeArena): void {
  const setting = async (t: Test, options = {}) => await scene(t, blake3, make, options)

  t.test('EM-1 cold join: empty clients of both kinds get the whole room', async (t) => {
    const set = await setting(t)
    await set.fill(200)
    const d = set.d()
    const r = set.r()
    d.connect()
    r.connect()
    await agree(t, set, [d, r], 200)
    bounded(t, d, { connections: 1, writes: 0 })
    bounded(t, r, { connections: 1, writes: 0 })
    t.equal(d.store.dropped + r.store.dropped, 0, 'every pack was importable on its own')
    t.same([...d.errors, ...r.errors], [])
  })

  t.test('EM-2 offline edits then join: the server and a live client get them', async (t) => {
    const set = await setting(t)
    await set.fill(100)
    const [d, watcher, r] = [set.d(), set.d(), set.r()]
    for (const client of [d, watcher, r]) client.connect()
    await agree(t, set, [d, watcher, r], 100)
    d.disconnect()
    r.disconnect()
    for (let i = 0; i < 30; i++) d.set(`offline/${i}`, i)
    for (let i = 0; i < 10; i++) r.set(`runtime/${i}`, `${i}`)
    d.connect()
    r.connect()
    await agree(t, set, [d, watcher, r], 140)
    bounded(t, d, { connections: 2, writes: 30 })
    bounded(t, r, { connections: 2, writes: 10 })
    bounded(t, watcher, { connections: 1, writes: 0 })
    t.equal(watcher.store.dropped, 0)
  })

  t.test('EM-3 diverged: both sides wrote while apart', async (t) => {
    const set = await setting(t)
    const other = await set.fill(50)
    const [d, r] = [set.d(), set.r()]
    d.connect()
    r.connect()
    await agree(t, set, [d, r], 50)
    d.disconnect()
    r.disconnect()
    for (let i = 0; i < 20; i++) d.insertText('doc', `d${i} `)
    for (let i = 0; i < 20; i++) r.set(`r/${i}`, 'x')
    for (let i = 0; i < 40; i++) other.write([{ type: 'map-delete', key: `filled/${i}` }])
    await other.synced()
    d.connect()
    r.connect()
    await agree(t, set, [d, r], 130)
    bounded(t, d, { connections: 2, writes: 20 })
    bounded(t, r, { connections: 2, writes: 20 })
  })

  for (const own of [0, 1, 26, 27, 10_000]) {
    t.test(`EM-4 empty server: a D-client with ${own} own nodes brings all of them`, async (t) => {
      const set = await setting(t)
      const d = set.d()
      for (let i = 0; i < own; i++) d.set(`own/${i}`, i)
      d.connect()
      await d.until(() => d.counts.down.types.welcome === 1, 'welcome')
      await agree(t, set, [d], own)
      bounded(t, d, { connections: 1, writes: own })
      const later = d.set('later', true)
      const other = set.d()
      other.connect()
      await agree(t, set, [d, other], own + 1)
      t.ok(other.store.has(later), 'what is written afterwards has its parents at the server')
    })
  }

  for (const own of [0, 1, 26, 27, 150]) {
    t.test(`EM-4 empty server: an R-client with ${own} own nodes brings all of them`, async (t) => {
      const set = await setting(t)
      const r = set.r()
      for (let i = 0; i < own; i++) r.set(`own/${i}`, 'x')
      t.equal(r.push(), own > 0)
      r.connect()
      await r.until(() => r.counts.down.types.welcome === 1, 'welcome')
      await agree(t, set, [r], own)
      bounded(t, r, { connections: 1, writes: own })
      t.equal(r.resends, 0)
    })
  }

  t.test('EM-5 two tabs with one seed see one another live and come to the same nodes', async (t) => {
    const set = await setting(t)
    const authorSeed = randomBytes(32)
    const [a, b] = [set.d({ authorSeed }), set.d({ authorSeed })]
    a.connect()
    b.connect()
    await agree(t, set, [a, b], 0)
    a.set('from/a', 1)
    await b.until(() => b.store.size === 1, 'the other tab')
    b.set('from/b', 2)
    await a.until(() => a.store.size === 2, 'the other tab')
    a.set('both', 'a')
    b.set('both', 'b')
    await agree(t, set, [a, b], 4)
    bounded(t, a, { connections: 1, writes: 2 })
    bounded(t, b, { connections: 1, writes: 2 })
  })

  t.test('EM-6 a rejected node costs its author everything after it, nobody else anything, and does not loop', async (t) => {
    const set = await setting(t)
    const [d, r, other] = [set.d(), set.r(), set.d()]
    for (const client of [d, r, other]) client.connect()
    await agree(t, set, [d, r, other], 0)
    d.set('good', 1)
    await agree(t, set, [d, r, other], 1)
    const poison = [d.set('\u0000snap:hash', 'forged'), d.set('after', 2)]
    await d.until(() => d.errors.length > 0, 'an error')
    await barrier(d)
    t.ok(d.isConnected(), 'the session stays')
    other.set('still', 'fine')
    await d.until(() => d.store.size === 4, 'live traffic goes on')
    d.disconnect()
    d.connect()
    await d.until(() => d.counts.down.types.welcome === 2, 'welcome again')
    await barrier(d)
    const observer = await set.peer()
    await observer.until(() => observer.peer.size >= 2, 'the good nodes')
    t.equal(observer.peer.size, 2)
    for (const id of poison) t.notOk(observer.peer.has(id))
    bounded(t, d, { connections: 2, writes: 3 })
    bounded(t, other, { connections: 1, writes: 1 })

    r.set('\u0000snap:base', 'forged')
    r.push()
    await r.until(() => r.resends >= 2, 'the original resends at once')
    const settled = r.resends
    const more = await r.until(() => r.resends >= settled + 6, 'a loop', 700).then(() => true, () => false)
    t.equal(more, false, 'the answers to a repeated refusal come ever later')
    await barrier(r)
  })

  t.test('EM-7 a failing redirect ends in bytes or in nothing, not in a loop', async (t) => {
    let fetches = 0
    const fetch = async (): Promise<Response> => {
      fetches++
      return await Promise.resolve(new Response(null, { status: 503 }))
    }
    const set = await setting(t, { redirect: 'http://127.0.0.1:1/blobs' })
    const [author, reader] = [set.d({ fetch }), set.d({ fetch })]
    author.setBlob('pictures/1', randomBytes(5000))
    author.connect()
    await agree(t, set, [author], 1)
    reader.connect()
    await reader.until(() => reader.store.missingBlobs().length === 0 && reader.store.size === 1, 'the bytes')
    await barrier(reader)
    t.ok(fetches <= 4, `${fetches} downloads tried`)
    t.ok((reader.counts.up.types['blob-request'] ?? 0) <= 5, 'few requests')
    await agree(t, set, [author, reader], 1)
    bounded(t, reader, { connections: 1, writes: 0, blobs: 7000 })
  })

  t.test('EM-8 5,001 writes in one turn: one pack with the nodes, 5,000 empty ones, at almost no cost', async (t) => {
    const set = await setting(t)
    const [d, other] = [set.d(), set.d()]
    d.connect()
    other.connect()
    await agree(t, set, [d, other], 0)
    const before = d.counts.down.frames
    for (let i = 0; i <= 5000; i++) d.set(`n/${i}`, i)
    await agree(t, set, [d, other], 5001)
    t.equal(d.counts.up.types.pack, 5001)
    t.ok(d.counts.down.frames - before <= 10, `${d.counts.down.frames - before} frames came back`)
    t.ok((other.counts.down.types.pack ?? 0) <= 40, `${other.counts.down.types.pack} relayed packs`)
    bounded(t, d, { connections: 1, writes: 5001 })
    bounded(t, other, { connections: 1, writes: 0 })
    t.equal(other.store.dropped, 0)
  })

  t.test('EM-9 /ws/runtime takes the room from hello, so that two rooms share one address', async (t) => {
    const set = await setting(t)
    const [one, two] = [set.r({ roomId: 'one' }), set.r({ roomId: 'two' })]
    const inOne = set.d({ room: 'one' })
    const alias = set.d({ room: 'two', serverUrl: `${set.arena.url}/ws/runtime` })
    for (const client of [one, two, inOne, alias]) client.connect()
    await agree(t, set, [one, inOne], 0, 'one')
    await agree(t, set, [two, alias], 0, 'two')
    one.set('k', '1')
    one.push()
    await agree(t, set, [one, inOne], 1, 'one')
    await agree(t, set, [two, alias], 0, 'two')
    alias.set('k', 2)
    await agree(t, set, [two, alias], 1, 'two')
    t.equal(inOne.store.size, 1)
  })

  t.test('EM-10 a room with a slash in its name is one room, by path and by hello', async (t) => {
    const set = await setting(t)
    const room = 'boards/abc d'
    const [d, r] = [set.d({ room }), set.r({ roomId: room })]
    t.match(d.url, /\/ws\/boards%2Fabc%20d$/)
    d.connect()
    r.connect()
    await agree(t, set, [d, r], 0, room)
    d.set('x', 1)
    r.set('y', '2')
    r.push()
    await agree(t, set, [d, r], 2, room)
  })

  t.test('EM-11 blobs: put live, put offline, asked for before they exist', async (t) => {
    const set = await setting(t)
    const [author, reader] = [set.d(), set.d()]
    author.connect()
    reader.connect()
    await agree(t, set, [author, reader], 0)
    const live = author.setBlob('live', randomBytes(3000))
    await reader.until(() => reader.store.blob(live), 'the live blob')
    author.disconnect()
    const offline = author.setBlob('offline', randomBytes(4000))
    author.connect()
    await reader.until(() => reader.store.blob(offline), 'the offline blob')
    const r = set.r()
    r.connect()
    const promised = r.setBlob('promised', Buffer.from('bytes that the runtime client never uploads'))
    r.push()
    await agree(t, set, [author, reader, r], 3)
    await reader.until(() => reader.blobs.pending.size === 0, 'an answer for what is not there')
    t.equal(reader.store.blob(promised), undefined)
    author.store.storeBlob(promised, Buffer.from('bytes that the runtime client never uploads'))
    author.disconnect()
    author.connect()
    await reader.until(() => reader.store.blob(promised), 'announced when it comes')
    await agree(t, set, [author, reader, r], 3)
    bounded(t, author, { connections: 3, writes: 2, blobs: 3 * 10_000 })
    bounded(t, reader, { connections: 1, writes: 0, blobs: 10_000 })
  })

  t.test('EM-12 a dropped connection comes back by itself and loses nothing', async (t) => {
    const set = await setting(t)
    const [d, r] = [set.d(), set.r()]
    d.connect()
    r.connect()
    await agree(t, set, [d, r], 0)
    d.set('before', 1)
    await agree(t, set, [d, r], 1)
    set.arena.drop()
    d.set('meanwhile', 2)
    r.set('meanwhile/r', '3')
    r.push()
    await d.until(() => d.counts.down.types.welcome === 2, 'welcome again')
    await r.until(() => r.counts.down.types.welcome === 2, 'welcome again')
    await agree(t, set, [d, r], 3)
    bounded(t, d, { connections: 2, writes: 2 })
    bounded(t, r, { connections: 2, writes: 1 })
  })

  t.test('EM-13 presence passes between both kinds, and newcomers are told', async (t) => {
    const set = await setting(t)
    const [d, r] = [set.d(), set.r()]
    d.setPresence({ cursor: 3 })
    d.connect()
    await d.until(() => d.counts.down.types.welcome, 'welcome')
    r.connect()
    await r.until(() => r.inbound.find(({ type, from, data }) => type === 'presence' && from === d.pubkey && (data as { cursor: number }).cursor === 3), 'presence told again on peer-joined')
    r.presence.set({ online: true }, { ttlMs: 30_000, nowUnixMs: Date.now() })
    await d.until(() => d.inbound.find(({ type, from }) => type === 'presence' && from === r.pubkey), 'presence of the runtime client')
    r.presence.getAll()
    await r.until(() => r.inbound.find(({ type }) => type === 'presence-snapshot'), 'a snapshot')
    r.presence.sweep(Date.now())
    await barrier(r)
    r.disconnect()
    await d.until(() => d.inbound.find(({ type, from }) => type === 'peer-left' && from === r.pubkey), 'peer-left')
    t.same([...d.errors, ...r.errors], [])
  })

  t.test('EM-14 list and text edits by both kinds, live and at once', async (t) => {
    const set = await setting(t)
    const clients = [set.d(), set.d(), set.d()]
    const r = set.r()
    for (const client of [...clients, r]) client.connect()
    await agree(t, set, [...clients, r], 0)
    for (let round = 0; round < 20; round++) {
      for (const client of clients) {
        client.push('todo', { round })
        client.insertText('doc', `round ${round} `)
        if (round % 5 === 0) client.delete(`k/${round}`)
      }
      r.insertText('doc', 'r')
      r.push()
      if (round % 4 === 0) await barrier(clients[round % 3])
    }
    const count = 3 * 20 * 3 + 3 * 4 + 20
    await agree(t, set, [...clients, r], count)
    for (const client of clients) {
      t.equal(client.store.dropped, 0, 'no pack overtook its parents')
      bounded(t, client, { connections: 1, writes: 64 })
    }
  })

  t.test('EM-15 narrowing the subscription still brings every ancestor of what is delivered', async (t) => {
    const set = await setting(t)
    const d = set.d({ subscribe: ['notes/**'] })
    const other = set.d()
    d.connect()
    other.connect()
    await agree(t, set, [other], 0)
    for (let i = 0; i < 10; i++) other.set(i % 2 === 0 ? `notes/${i}` : `other/${i}`, i)
    await barrier(other)
    const last = other.set('notes/last', true)
    await d.until(() => d.store.has(last), 'the last note')
    t.equal(d.store.dropped, 0)
    d.subscribe(['**'])
    await barrier(d)
    await agree(t, set, [other], 11)
  })
}
