import t from 'tap'
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import nodalmerge, { createSigner, levelNodes, memoryBlobs, memoryNodes } from '../../lib/index.js'
import { mintToken } from '../../lib/protocol/token.js'
import { faultyNodeStore } from '../../lib/testing/faulty-node-store.js'
import { build, run } from '../crash/built.js'
import { backend, host, joinAt, peer, set } from './host.js'

const SERVER = build(t.testdir(), 'test/crash/server.ts')

t.test('FP-30 closing lets what is under way become durable and acknowledged, then ends every session with 1012', async (t) => {
  const data = t.testdir()
  const { app, join, raw } = await host(t, { data })
  const [anna, ben] = [join('plans', peer(1)), join('plans', peer(2))]
  const silent = raw()
  await Promise.all([anna.synced(), ben.synced(), silent.opened()])
  const written = Array.from({ length: 200 }, (_, i) => Buffer.from(anna.write(set(`k${i % 7}`, String(i))).subarray(0, 32)).toString('hex'))
  await anna.until(() => anna.unacknowledged < 200)
  await app.close()
  for (const session of [anna, ben, silent]) t.match(await session.closed(), { code: 1012, reason: 'server restarting' })
  const acknowledged = 200 - anna.unacknowledged

  const again = await host(t, { data })
  const reader = again.join('plans', peer(3))
  await reader.synced()
  t.ok(reader.peer.size >= acknowledged, `${reader.peer.size} kept, ${acknowledged} acknowledged`)
  const kept = new Set(reader.peer.ids())
  t.same(written.slice(0, acknowledged).filter((id) => !kept.has(id)), [])
  t.same([...ben.peer.ids()].filter((id) => !kept.has(id)), [], 'what was relayed is kept, too')
})

t.test('FP-31 a commit under way when the host closes is waited for', async (t) => {
  const nodes = faultyNodeStore(memoryNodes())
  const { app, join } = await host(t, { nodes, blobs: memoryBlobs() })
  const anna = join('plans', peer(1))
  await anna.synced()
  const release = nodes.faults.hold('append')
  anna.write(set('a'))
  await nodes.faults.held('append')
  let closed = false
  const closing = app.close().then(() => { closed = true })
  await new Promise((resolve) => setImmediate(resolve))
  t.notOk(closed)
  release()
  await anna.closed()
  t.equal(anna.unacknowledged, 0, 'the acknowledgement came before the close frame')
  await closing
})

t.test('FP-32 nothing new is let in while the host closes', async (t) => {
  const { app, raw } = await host(t)
  const before = raw()
  await before.hello()
  await app.nodalmerge.drain()
  t.equal((await before.closed()).code, 1012)
  const late = raw()
  t.equal((await late.closed()).code, 1012)
  await app.nodalmerge.drain()
  t.pass('draining twice is draining once')
})

t.test('FP-33 closing twice, closing without a session and closing before listening all work', async (t) => {
  const idle = backend(t).app
  await idle.register(nodalmerge)
  await idle.close()
  await idle.close()
  const ready = await host(t)
  await Promise.all([ready.app.close(), ready.app.close()])
})

t.test('FP-34 a process whose host is closed ends by itself', async (t) => {
  const child = await run(t, SERVER, [t.testdir()])
  const anna = joinAt(`${String(child.ready.url)}/ws/plans`, 'plans', peer(1))
  await anna.synced()
  for (let i = 0; i < 50; i++) anna.write(set(`k${i}`))
  await anna.synced()
  const ended = child.end('SIGTERM')
  t.equal((await anna.closed()).code, 1012)
  t.same(await ended, { code: 0, signal: null })
})

t.test('FP-35 the server keeps its key below the data folder and its rooms in it', async (t) => {
  const data = t.testdir()
  const first = await host(t, { data })
  const anna = first.join('plans', peer(1))
  await anna.synced()
  anna.write(set('a'))
  await anna.synced()
  const key = Buffer.from(first.app.nodalmerge.publicKey).toString('hex')
  const node = await first.app.nodalmerge.room('plans').append(set('by the server'))
  await first.app.close()
  t.equal((await stat(join(data, 'server.key'))).mode & 0o777, 0o600)

  const second = await host(t, { data })
  t.equal(Buffer.from(second.app.nodalmerge.publicKey).toString('hex'), key)
  const client = second.raw()
  t.match(await client.hello(), { frontier: [node], server_pubkey: key })
  const rooms: string[] = []
  for await (const room of second.app.nodalmerge.rooms()) rooms.push(room)
  t.same(rooms, ['plans'])
})

t.test('FP-36 a key file of the wrong size stops the start; a given key wins over the file', async (t) => {
  const data = t.testdir({ 'server.key': 'short' })
  const { app } = backend(t)
  await t.rejects(Promise.resolve(app.register(nodalmerge, { data })), { code: 'plugin.key_invalid' })
  const given = await host(t, { data, key: '07'.repeat(32) })
  t.same(given.app.nodalmerge.publicKey, createSigner(new Uint8Array(32).fill(7)).publicKey)
})

t.test('FP-37 lock and policy survive a restart', async (t) => {
  const data = t.testdir()
  const owner = createSigner(new Uint8Array(32).fill(9))
  const [anna, ben] = [peer(1), peer(2)]
  const first = await host(t, { data })
  const room = first.app.nodalmerge.room('plans')
  await room.setPolicy({ rules: [{ path: 'notes/*', write: [anna.publicKey] }], default: 'deny' })
  await room.lock(owner.publicKey)
  const rights = await room.rights()
  await first.app.close()

  const { app, raw } = await host(t, { data })
  t.same(await app.nodalmerge.room('plans').rights(), rights)
  const stranger = raw()
  await stranger.opened()
  stranger.send({ type: 'hello', pubkey: ben.key })
  t.match(await stranger.next('error'), { msg: /^auth: / })
  t.equal((await stranger.closed()).code, 1008)

  for (const [who, accepted] of [[anna, 1], [ben, 0]] as const) {
    const expiry = Math.floor(Date.now() / 1000) + 60
    const token = mintToken({ room: 'plans', peer: who.publicKey, expiry, caps: [] }, owner)
    const client = raw()
    await client.hello({ pubkey: who.key, token })
    client.send({ type: 'pack', nodes: Buffer.from(who.pack([who.write(set('notes/a'))])).toString('base64') })
    t.match(await client.next('pack-ack'), { accepted_count: accepted })
  }
})

t.test('FP-38 a second process on the same folder is refused and does no harm', async (t) => {
  const data = t.testdir()
  const child = await run(t, SERVER, [data])
  const { app } = backend(t)
  await t.rejects(Promise.resolve(app.register(nodalmerge, { data })), { code: 'store.locked' })
  await t.rejects(run(t, SERVER, [data]), { message: /store\.locked/ })
  const anna = joinAt(`${String(child.ready.url)}/ws/plans`, 'plans', peer(1))
  await anna.synced()
  anna.write(set('a'))
  await anna.synced()
  t.same(await child.end('SIGTERM'), { code: 0, signal: null })
  const freed = await host(t, { data })
  t.equal((await freed.app.nodalmerge.room('plans').open()).nodes, 1)
})

t.test('FP-39 a data folder that cannot be a folder is refused with a coded error', async (t) => {
  const folder = t.testdir()
  await writeFile(join(folder, 'file'), '')
  const { app } = backend(t)
  await t.rejects(Promise.resolve(app.register(nodalmerge, { data: join(folder, 'file', 'data') })), { name: 'NodalmergeError' })
})

t.test('FP-40 stores of two registrations may be moved: what one wrote the other reads', async (t) => {
  const path = join(t.testdir(), 'nodes')
  const first = await host(t, { nodes: levelNodes({ path }), blobs: memoryBlobs() })
  await first.app.nodalmerge.room('plans').append(set('a', 'kept'))
  await first.app.close()
  const second = await host(t, { nodes: levelNodes({ path }), blobs: memoryBlobs(), prefix: '/x' })
  t.equal((await second.app.nodalmerge.room('plans').open()).nodes, 1)
})
