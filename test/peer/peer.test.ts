import t from 'tap'
import { readFileSync } from 'node:fs'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { WebSocket, WebSocketServer } from 'ws'
import { createSigner } from '../../lib/crypto/ed25519.js'
import { loadBlake3 } from '../../lib/protocol/blake3-wasm.js'
import { fromBase64, toBase64 } from '../../lib/protocol/base64.js'
import { toHex } from '../../lib/protocol/hex.js'
import { scanPack } from '../../lib/protocol/pack.js'
import type { Op } from '../../lib/protocol/op.js'
import { createFakeClock } from '../../lib/testing/clock.js'
import { connectPeer } from '../../lib/testing/connection.js'
import { LAMPORT_SLACK, chunkNodes, createPeer, writeNode } from '../../lib/testing/peer.js'
import { createReplica } from '../../lib/testing/replica.js'
import { createSocketPair } from '../../lib/testing/socket.js'
import { createMiniServer } from './mini-server.js'

const blake3 = await loadBlake3()
const seed = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)
const set = (key: string, value = 'x'): Op[] => [{ type: 'map-set', key, value: new TextEncoder().encode(value) }]
const vectors = JSON.parse(readFileSync(new URL('../vectors/vectors-public.json', import.meta.url), 'utf8')).derived

t.test('CL-1 a fake clock runs due timers in order, timers set by timers included', async (t) => {
  const clock = createFakeClock(1000)
  const seen: string[] = []
  clock.after(20, () => seen.push(`late ${clock.now()}`))
  clock.after(10, () => {
    seen.push(`early ${clock.now()}`)
    clock.after(5, () => seen.push(`nested ${clock.now()}`))
  })
  clock.after(10, () => seen.push('same instant'))
  const cancel = clock.after(12, () => seen.push('never'))
  cancel()
  t.equal(clock.pending, 3)
  clock.advance(9)
  t.same(seen, [])
  clock.advance(11)
  t.same(seen, ['early 1010', 'same instant', 'nested 1015', 'late 1020'])
  t.equal(clock.now(), 1020)
  t.equal(clock.pending, 0)
  t.throws(() => { clock.advance(-1) }, RangeError)
  t.equal(createFakeClock().now(), 1_700_000_000_000)
})

t.test('CL-2 a peer writes the nodes of the vectors, byte for byte', async (t) => {
  const chain = createPeer({ blake3, seed: seed(0x41), now: () => 0 })
  for (let i = 0; i < 8; i++) {
    const view = scanPack(fromBase64(vectors.linear_chain.pack_base64))[i]
    chain.write([{ type: 'map-set', ...keyAndValue(view.bytes, view.ops) }])
  }
  t.same([...chain.ids()], vectors.linear_chain.ids_hex)
  t.equal(chain.root, vectors.linear_chain.merkle_root_all_8)
  t.same(chain.frontier, vectors.linear_chain.ids_hex.slice(-1))
  t.equal(toBase64(chain.pack([...chain.nodes()])), vectors.linear_chain.pack_base64)
  t.equal(chain.key, toHex(chain.publicKey))
})

function keyAndValue (bytes: Uint8Array, at: number): { key: string, value: Uint8Array } {
  const key = bytes.subarray(at + 3, at + 3 + bytes[at + 2])
  const value = at + 3 + key.length
  return { key: new TextDecoder().decode(key), value: bytes.slice(value + 1, value + 1 + bytes[value]) }
}

t.test('CL-3 the clock counts the characters a range insert takes, own and received', async (t) => {
  const a = createPeer({ blake3 })
  const b = createPeer({ blake3 })
  const range = a.write([{ type: 'text-insert-range', key: 'k', anchor: { at: 'start' }, text: 'héllo' }])
  t.equal(a.clock, 5)
  b.receive(b.pack([range]))
  t.equal(b.clock, 5)
  t.equal(createPeer({ blake3, nodes: a.nodes() }).clock, 5, 'also after a restart')
})

t.test('CL-4 a pack is taken in whatever its order; orphans wait for their parents, also across packs', async (t) => {
  const a = createPeer({ blake3, seed: seed(1) })
  const nodes = Array.from({ length: 6 }, (_, i) => a.write(set(`k${i}`)))
  const b = createPeer({ blake3, seed: seed(2) })
  t.same(b.receive(b.pack([nodes[2], nodes[1], nodes[5]])).accepted, [])
  t.equal(b.orphans, 3)
  t.same(b.receive(b.pack([nodes[5]])), { accepted: [], duplicates: 1, refused: [] })
  t.equal(b.receive(b.pack([nodes[0]])).accepted.length, 3)
  t.equal(b.orphans, 1)
  const rest = b.receive(b.pack([nodes[4], nodes[3], nodes[0]]))
  t.same([rest.accepted.length, rest.duplicates, b.orphans], [3, 1, 0])
  t.same(b.frontier, a.frontier)
  t.equal(b.root, a.root)
  t.same([...b.ids()].sort(), [...a.ids()].sort())
  t.ok(b.has(a.frontier[0]))
  t.same(b.node(a.frontier[0]), nodes[5])

  const small = createPeer({ blake3, maxOrphans: 1 })
  t.same(small.receive(small.pack([nodes[2], nodes[4]])).refused.map(({ code }) => code), ['reject.missing_parent'])
})

t.test('CL-5 a node that fails a check is refused alone, and what depends on it waits', async (t) => {
  const a = createPeer({ blake3 })
  const first = a.write(set('a'))
  const wrong = Uint8Array.from(a.write(set('b')))
  const b = createPeer({ blake3 })
  const unsigned = Uint8Array.from(first)
  unsigned.fill(0, -64)
  t.equal(b.receive(b.pack([unsigned])).refused[0].code, 'reject.invalid_signature')
  wrong[0] ^= 1
  t.same(b.receive(b.pack([wrong, first])).refused, [{ id: toHex(wrong.subarray(0, 32)), code: 'reject.hash_mismatch' }])
  t.equal(b.size, 1)
  const fast = createReplica()
  fast.clock = LAMPORT_SLACK
  const ahead = writeNode(fast, createSigner(seed(3)), blake3, 0, set('ahead'))
  t.equal(createPeer({ blake3 }).receive(b.pack([ahead])).refused[0].code, 'reject.lamport_ceiling')
  b.write(set('one tick'))
  t.equal(b.receive(b.pack([ahead])).accepted.length, 1, 'the ceiling moves with the clock')
  const lax = createPeer({ blake3, verify: false })
  t.equal(lax.receive(lax.pack([unsigned])).accepted.length, 1)
  t.throws(() => { b.receive(Uint8Array.of(9)) }, { code: 'reject.protocol_invalid_message' })
  t.throws(() => createPeer({ blake3, seed: new Uint8Array(31) }), RangeError)
})

t.test('CL-6 differences: by listed ids, or by the ancestors of heads', async (t) => {
  const a = createPeer({ blake3 })
  const nodes = [a.write(set('1')), a.write(set('2'))]
  const fork = createPeer({ blake3, nodes: a.nodes() })
  const mine = fork.write(set('3'))
  const heads = a.frontier
  const theirs = a.write(set('4'))
  a.receive(a.pack([mine]))
  t.same(a.beyond(heads), [theirs, mine])
  t.same(a.beyond([]), [...nodes, theirs, mine])
  t.same(a.beyond(a.frontier), [])
  t.same(a.missingFrom(heads), [nodes[0], theirs, mine])
  t.same(fork.beyond([...heads, 'f'.repeat(64)]), [mine], 'unknown heads cover nothing')
})

t.test('CL-7 packs are cut at the given length, in order, and each is readable', async (t) => {
  const a = createPeer({ blake3 })
  for (let i = 0; i < 40; i++) a.write(set(`key ${i}`, 'v'.repeat(i === 20 ? 3000 : 60)))
  const chunks = chunkNodes([...a.nodes()], 2048)
  t.same(chunks.flatMap((chunk) => chunk.nodes), [...a.nodes()])
  for (const chunk of chunks) {
    t.ok(chunk.text.length <= 2048 || chunk.nodes.length === 1)
    t.equal(scanPack(fromBase64(chunk.text)).length, chunk.nodes.length)
  }
  t.same(chunkNodes([], 2048), [])
})

t.test('CL-8 a socket pair keeps the order, counts what is under way and closes once', async (t) => {
  const pair = createSocketPair()
  const seen: unknown[] = []
  pair.client.addEventListener('open', () => t.fail('a pair is open from the start'))
  pair.client.addEventListener('message', ({ data }) => seen.push(data))
  pair.server.onMessage((text) => seen.push(`got ${text}`))
  pair.server.onClose((closed) => seen.push(closed))
  const ended = new Promise((resolve) => { pair.client.addEventListener('close', resolve) })
  pair.server.send('one')
  pair.server.send(new TextEncoder().encode('twö'))
  t.equal(pair.server.buffered, 6)
  pair.client.send('up')
  pair.client.close(4001, 'enough')
  pair.client.send('too late')
  pair.server.close()
  t.same(await ended, { code: 4001, reason: 'enough' })
  t.same(seen, ['one', 'twö', 'got up', { code: 4001, reason: 'enough' }])
  t.equal(pair.server.buffered, 0)
  t.equal(pair.client.readyState, 3)
  pair.server.send('nobody')
  pair.server.close(1000)
  await new Promise(setImmediate)
  t.equal(seen.length, 4)
})

t.test('CL-9 a connected peer greets, gets what it lacks, sends what the server lacks in chunks and is in sync when all is acknowledged', async (t) => {
  const server = createMiniServer({ blake3 })
  const old = createPeer({ blake3 })
  for (let i = 0; i < 50; i++) old.write(set(`old ${i}`))
  server.room('plans').receive(old.pack([...old.nodes()]))
  const peer = createPeer({ blake3 })
  for (let i = 0; i < 50; i++) peer.write(set(`new ${i}`))
  const connection = connectPeer({ peer, room: 'plans', chunk: 4096, hello: { subscribe: ['**'] }, open: () => server.connect('/ws/plans') })
  await connection.synced()
  t.equal(connection.state, 'live')
  t.equal(connection.peer.size, 100)
  t.equal(server.room('plans').root, peer.root)
  const packs = server.frames.filter(({ message }) => message.type === 'pack')
  t.ok(packs.length > 3)
  for (const { message } of packs) t.ok(String(message.nodes).length <= 4096)
  t.match(server.frames[0].message, { type: 'hello', room: 'plans', pubkey: peer.key, subscribe: ['**'], client: { ext: ['ack', 'literal-missing'] } })
  t.equal(connection.frames[0].type, 'welcome')
  t.same(connection.welcome, connection.frames[0])
  t.equal(connection.sent.frames, server.frames.length)
  t.ok(connection.received.bytes > 50 * 200)

  const watcher = connectPeer({ peer: createPeer({ blake3 }), room: 'plans', open: () => server.connect('/ws/plans') })
  await watcher.synced()
  connection.write(set('live'))
  t.equal(connection.unacknowledged, 1)
  await connection.synced()
  await watcher.until(() => watcher.peer.root === peer.root, 'the relay')
  t.match(await Promise.all([watcher.next('presence'), connection.send({ type: 'presence', data: { x: 1 } })]), [{ from: peer.key, data: { x: 1 } }])
  connection.publish([])
  connection.close()
  t.match(await connection.closed(), { code: 1000 })
  t.equal(connection.state, 'closed')
  t.throws(() => { connection.send({ type: 'presence' }) }, /not connected/)
})

t.test('CL-10 what was written without a connection or not acknowledged goes out after the next welcome', async (t) => {
  const server = createMiniServer({ blake3 })
  const peer = createPeer({ blake3 })
  const connection = connectPeer({ peer, room: 'r', open: () => server.connect('/ws/r') })
  connection.write(set('before welcome'))
  await connection.synced()
  server.restart()
  connection.write(set('into the void'))
  await connection.closed()
  connection.write(set('offline'))
  t.equal(connection.unacknowledged, 2)
  await t.rejects(connection.synced(), /closed with 1012 restart/)
  connection.reconnect()
  connection.reconnect()
  await connection.synced()
  t.equal(server.room('r').root, peer.root)
  t.equal(server.room('r').size, 3)
  const before = connection.sent.frames
  connection.reconnect()
  await connection.synced()
  t.equal(connection.sent.frames, before + 1, 'in sync: nothing but the hello')
  connection.resend()
  t.equal(connection.frames.filter(({ type }) => type === 'welcome').length, 3, 'the first of two hasty reconnects is forgotten')
})

t.test('CL-11 acknowledgements are matched by number or by order, and refusals are kept with their codes', async (t) => {
  const pair = createSocketPair()
  const peer = createPeer({ blake3 })
  const connection = connectPeer({ peer, room: 'r', open: () => pair.client })
  const frames: Record<string, unknown>[] = []
  pair.server.onMessage((text) => frames.push(JSON.parse(text)))
  const say = (message: unknown): void => { pair.server.send(JSON.stringify(message)) }
  say({ type: 'welcome', root: 'other', frontier: 'not a list' })
  await connection.until(() => connection.state === 'live', 'welcome')
  const ids = ['a', 'b', 'c'].map((key) => toHex(connection.write(set(key)).subarray(0, 32)))
  say({ type: 'pack', nodes: 7 })
  say({ type: 'pack-ack', id: 2 })
  say({ type: 'pack-ack', rejected: [{ id: ids[0], code: 'reject.policy_violation' }, {}] })
  await connection.until(() => connection.unacknowledged === 1, 'two acknowledgements')
  t.same([...connection.refused], [[ids[0], 'reject.policy_violation']])
  connection.resend()
  say({ type: 'pack-ack', id: 99 })
  say({ type: 'pack-ack', id: 4 })
  await connection.synced()
  t.equal(frames.filter(({ type }) => type === 'pack').length, 4)
})

t.test('CL-12 waiting fails loudly: with what was missing, and at once when the connection is over', async (t) => {
  const peer = createPeer({ blake3 })
  const silent = createSocketPair()
  const connection = connectPeer({ peer, room: 'r', open: () => silent.client, within: 10 })
  await t.rejects(connection.synced(), /in sync: not within 10 ms; greeted, 0 node\(s\) unacknowledged, last frames: none/)
  silent.server.send('{"type":"odd"}')
  await t.rejects(connection.until(() => null), /condition: not within 10 ms; .*last frames: odd/)
  await t.rejects(connection.next('pack', 5), /a frame of type pack: not within 5 ms/)
  const refused = connectPeer({ peer, room: 'r', open: async () => await Promise.reject(new Error('no such host')) })
  t.match(await refused.closed(), { code: 1006, reason: 'Error: no such host' })
})

t.test('CL-13 the same connection over a real WebSocket', async (t) => {
  const listener = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  t.teardown(() => { listener.close() })
  await once(listener, 'listening')
  const server = createMiniServer({ blake3 })
  listener.on('connection', (socket, request) => {
    const inner = server.connect(request.url ?? '')
    socket.on('message', (data) => { inner.send(String(data)) })
    socket.on('close', () => { inner.close() })
    inner.addEventListener('message', ({ data }) => { socket.send(String(data)) })
  })
  const url = `ws://127.0.0.1:${(listener.address() as AddressInfo).port}/ws/r`
  const peer = createPeer({ blake3 })
  peer.write(set('a'))
  const connection = connectPeer({ peer, room: 'r', open: async () => await Promise.resolve(new WebSocket(url)) })
  t.equal(connection.state, 'connecting')
  await connection.synced()
  t.equal(server.room('r').size, 1)
  connection.close()
  await connection.closed()
  const nowhere = connectPeer({ peer, room: 'r', open: () => new WebSocket('ws://127.0.0.1:1/') })
  t.equal((await nowhere.closed()).code, 1006)
})
