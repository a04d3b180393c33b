import t from 'tap'
import { limitsSchema } from '../../lib/room/limits.js'
import { createSigner } from '../../lib/crypto/ed25519.js'
import { toHex } from '../../lib/protocol/hex.js'
import { mintToken } from '../../lib/protocol/token.js'
import { createFilters, encodeFilter } from '../../lib/dag/ibf.js'
import { faultyNodeStore } from '../../lib/testing/faulty-node-store.js'
import { memoryNodes } from '../../lib/store/memory-nodes.js'
import { type Frame, blake3, createTestServer, nodesIn, packOf, peer, set, settle } from './harness.js'

const EMPTY_ROOT = 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262'
const ZEROS = '0'.repeat(64)

t.test('HS-1 an empty room welcomes with the empty root and sends no catch-up', async (t) => {
  const { server, connect } = createTestServer(t)
  await server.store.open()
  const client = connect()
  const welcome = await client.hello()
  t.match(welcome, {
    root: EMPTY_ROOT,
    frontier: [],
    missing: [],
    peers: [],
    mst_root: ZEROS,
    room: 'plans',
    session_id: 1,
    server_pubkey: toHex(server.signer.publicKey)
  })
  t.same(welcome.caps, {
    supports_ibf: true,
    supports_mst: true,
    supports_postcard: true,
    supports_encryption: true,
    supports_webrtc: false,
    max_tick_interval_ms: null,
    supports_list_crdt: true,
    supports_direct_blob_io: false
  })
  await settle()
  t.equal(client.frames.length, 1, 'welcome is the first frame and there is no other')
})

t.test('HS-2 without MST there is no mst_root', async (t) => {
  const { server, connect } = createTestServer(t)
  await server.store.open()
  const welcome = await connect().hello({ caps: { supports_mst: false } })
  t.notOk('mst_root' in welcome)
})

t.test('HS-3 a first frame that is no hello is told so and closed with 1008', async (t) => {
  const { server, connect } = createTestServer(t)
  await server.store.open()
  for (const first of ['{"type":"pack"}', 'no json', '[]']) {
    const client = connect()
    client.send(first)
    t.match(await client.next('error'), { msg: 'expected hello', code: 'unauthorized.hello_expected' })
    t.same(await client.ended(), { code: 1008, reason: 'expected hello' })
  }
  const large = connect()
  large.send(`{"type":"hello","room":"${'x'.repeat(1 << 20)}"}`)
  t.equal((await large.next('error')).code, 'reject.protocol_message_too_large')
  t.equal((await large.ended()).code, 1009)
  t.same([...server.rooms.all()], [], 'no room came into being')
})

t.test('HS-4 a connection that says nothing is closed after the hello timeout', async (t) => {
  const { clock, connect } = createTestServer(t)
  const client = connect()
  clock.advance(14_000)
  t.equal(client.closed, null)
  clock.advance(2_000)
  t.same(client.closed, { code: 1008, reason: 'hello timeout' })
  clock.advance(6_000)
  t.ok(client.terminated, 'and dropped when it does not answer the close')
})

t.test('HS-5 a binary frame closes with 1003, before and after the hello', async (t) => {
  const { server, connect } = createTestServer(t)
  await server.store.open()
  const silent = connect()
  silent.session.receiveBinary()
  t.equal(silent.closed?.code, 1003)
  const live = connect()
  await live.hello()
  live.session.receiveBinary()
  t.equal(live.closed?.code, 1003)
})

t.test('HS-6 frames sent before welcome are worked off in order once it is out', async (t) => {
  const { server, connect } = createTestServer(t)
  await server.store.open()
  const alice = peer(1)
  const client = connect()
  client.send({ type: 'hello', pubkey: alice.key })
  client.send(packOf(alice, [alice.write(set('a'))], { id: 1 }))
  client.send({ type: 'server-info' })
  client.send({ type: 'request', known: [] })
  await client.next('server-info')
  await client.next('pack')
  t.same(client.frames.map(({ type }) => type), ['welcome', 'pack-ack', 'server-info', 'pack'])
})

t.test('HS-7 the catch-up directly follows welcome, parents first, in frames of bounded size', async (t) => {
  const { server, join } = createTestServer(t, { limit: { frameBytes: 2_000 } })
  await server.store.open()
  const writer = peer(1)
  const first = await join('plans', writer)
  first.send(packOf(writer, Array.from({ length: 50 }, (_, i) => writer.write(set(`k${i}`)))))
  await first.next('pack-ack')
  const reader = peer(2)
  const client = await join('plans', reader)
  client.send({ type: 'server-info' })
  await client.next('server-info')
  await settle()
  t.equal(client.frames[1].type, 'pack')
  const packs = client.frames.filter(({ type }) => type === 'pack')
  t.ok(packs.length > 5, `${packs.length} frames`)
  for (const pack of packs) {
    t.ok(String(pack.nodes).length <= 2_000)
    t.same(reader.receive(nodesIn(pack)).refused, [])
    t.equal(reader.orphans, 0, 'each frame is importable on its own')
    t.equal(pack.from, 'server')
    t.notOk('root' in pack)
  }
  t.equal(reader.root, writer.root)
})

t.test('HS-8 a client that lacks little is sent little, by its frontier or by either width of filter', async (t) => {
  const { server, join } = createTestServer(t)
  await server.store.open()
  const alice = peer(1)
  const base = Array.from({ length: 30 }, (_, i) => alice.write(set(`k${i}`)))
  const bob = peer(2, { nodes: base })
  const more = Array.from({ length: 3 }, (_, i) => alice.write(set(`m${i}`)))
  const pusher = await join('plans', alice)
  pusher.send(packOf(alice, [...base, ...more]))
  await pusher.next('pack-ack')

  const sentTo = async (fields: object): Promise<number> => {
    const client = await join('plans', bob, fields)
    client.send({ type: 'server-info' })
    await client.next('server-info')
    const fresh = peer(9, { nodes: base })
    return client.frames.filter(({ type }) => type === 'pack').reduce((sum, frame) => sum + fresh.receive(nodesIn(frame)).accepted.length, 0)
  }
  t.equal(await sentTo({}), 3, 'by frontier')
  bob.write(set('offline'))
  const filters = createFilters(blake3)
  for (const node of bob.nodes()) filters.add(node.subarray(0, 32))
  for (const width of ['wide', 'narrow'] as const) {
    const ibf = Buffer.from(encodeFilter(filters[width])).toString('base64')
    t.equal(await sentTo({ ibf, root: bob.root }), 3, `${width} filter`)
  }
  t.equal(await sentTo({ ibf: '!!!' }), 3, 'an unreadable filter counts as none')
})

t.test('HS-9 equal roots need no catch-up', async (t) => {
  const { server, join } = createTestServer(t)
  await server.store.open()
  const alice = peer(1)
  const first = await join('plans', alice)
  first.send(packOf(alice, [alice.write(set('a'))]))
  await first.next('pack-ack')
  const again = await join('plans', alice, { root: alice.root, mst_root: first.session.terms.room.trie.root() })
  again.send({ type: 'server-info' })
  await again.next('server-info')
  t.same(again.frames.map(({ type }) => type), ['welcome', 'server-info'])
})

t.test('HS-10 the room comes from the path; /ws/runtime takes it from the hello', async (t) => {
  const { server, connect } = createTestServer(t)
  await server.store.open()
  t.equal((await connect('plans').hello({ room: 'other' })).room, 'plans')
  t.equal((await connect(null).hello({ room: 'other' })).room, 'other')
  for (const room of ['', 'x'.repeat(257), 'nul\u0000']) {
    const client = connect(null)
    client.send({ type: 'hello', pubkey: 'a', room })
    t.equal((await client.next('error')).code, 'reject.room_invalid')
    t.equal((await client.ended()).code, 1008)
  }
})

t.test("HS-11 claiming the server's key is refused and grants nothing", async (t) => {
  const { server, clock, connect } = createTestServer(t)
  await server.store.open()
  const client = connect()
  client.send({ type: 'hello', pubkey: toHex(server.signer.publicKey).toUpperCase() })
  await settle()
  clock.advance(1_000)
  t.match(await client.next('error'), { msg: /^auth: /, code: 'unauthorized.reserved_identity' })
  t.same(await client.ended(), { code: 1008, reason: 'auth failed' })
})

t.test('HS-12 joins and leaves are told once per public key, with peer_id and peer_type', async (t) => {
  const { server, connect } = createTestServer(t)
  await server.store.open()
  const watcher = connect()
  await watcher.hello({ pubkey: 'w' })
  const first = connect()
  await first.hello({ pubkey: 'p', peer_id: 'kiosk', peer_type: 'bot' })
  t.same(await watcher.next('peer-joined'), { type: 'peer-joined', from: 'p', pubkey: 'p', peer_id: 'kiosk', peer_type: 'bot' })
  const second = connect()
  t.same((await second.hello({ pubkey: 'p' })).peers, ['w'], 'without its own key')
  first.leave()
  await settle()
  t.notOk(watcher.frames.some(({ type }) => type === 'peer-left'))
  second.leave()
  t.match(await watcher.next('peer-left'), { from: 'p', pubkey: 'p', peer_id: 'p', peer_type: 'ui' })
  t.equal(watcher.frames.filter(({ type }) => type === 'peer-joined').length, 1)
})

t.test('HS-13 a locked room wants a token under its key; each fault has its own text', async (t) => {
  const { server, clock, connect } = createTestServer(t)
  await server.store.open()
  const roomKey = createSigner(new Uint8Array(32).fill(3))
  await (await server.rooms.open('plans')).lock(toHex(roomKey.publicKey))
  const alice = peer(1)
  const expiry = Math.floor(clock.now() / 1000) + 60
  const token = mintToken({ room: 'plans', peer: alice.publicKey, expiry, caps: ['policy.admin'] }, roomKey)
  const tries: Array<[object, string, RegExp]> = [
    [{}, 'unauthorized.token_missing', /room is locked — include a capability token in hello/],
    [{ token: { ...token, sig: 'ab' } }, 'unauthorized.token_invalid', /malformed token field: sig/],
    [{ token, pubkey: peer(2).key }, 'unauthorized.token_peer_mismatch', /does not match/],
    [{ token: { ...token, expiry: 1 } }, 'unauthorized.token_expired', /token has expired/],
    [{ token: { ...token, caps: ['room.admin'] } }, 'unauthorized.token_invalid', /signature verification failed/]
  ]
  for (const [fields, code, text] of tries) {
    const client = connect()
    client.send({ type: 'hello', pubkey: alice.key, ...fields })
    await settle()
    clock.advance(0)
    for (let i = 0; i < 40 && client.closed === null; i++) { clock.advance(250); await settle(2) }
    const error = await client.next('error')
    t.equal(error.code, code)
    t.match(error.msg, text)
    t.match(error.msg, /^auth: /)
    t.equal((await client.ended()).code, 1008)
  }
})

t.test('HS-14 a token gives its capabilities and ends the session when it expires', async (t) => {
  const { server, clock, connect } = createTestServer(t)
  await server.store.open()
  const roomKey = createSigner(new Uint8Array(32).fill(3))
  await (await server.rooms.open('plans')).lock(toHex(roomKey.publicKey))
  const alice = peer(1)
  const tokenFor = (seconds: number): object => mintToken(
    { room: 'plans', peer: alice.publicKey, expiry: Math.floor(clock.now() / 1000) + seconds, caps: ['policy.admin'] }, roomKey)
  const short = connect()
  await short.hello({ pubkey: alice.key, token: tokenFor(2) })
  const long = connect()
  await long.hello({ pubkey: alice.key, token: tokenFor(60) })
  t.ok(short.session.terms.capabilities.has('policy.admin'))
  clock.advance(4_000)
  t.same(short.closed, { code: 4002, reason: 'token expired' })
  t.equal(long.closed, null, 'two connections of one key expire on their own')
})

t.test('HS-15 the host decides: authenticate may refuse, give capabilities and an end; authorize may refuse to open', async (t) => {
  const { server, clock, connect } = createTestServer(t, {
    authenticate: async (_request, hello) => hello.pubkey === 'bad'
      ? { refused: 'unknown user' }
      : { subject: hello.pubkey, capabilities: ['room.admin'], expiresAt: new Date(1_700_000_005_000) },
    authorize: async ({ identity, room }, action) => identity?.subject === 'guest' && action.type === 'open' ? { refused: `not ${room}` } : true
  })
  await server.store.open()
  for (const [pubkey, text] of [['bad', 'auth: unknown user'], ['guest', 'auth: not plans']]) {
    const client = connect()
    client.send({ type: 'hello', pubkey })
    await settle()
    clock.advance(300)
    t.match(await client.next('error'), { code: 'unauthorized.denied', msg: text })
  }
  const good = connect()
  await good.hello({ pubkey: 'good' })
  t.ok(good.session.terms.capabilities.has('room.admin'))
  clock.advance(6_000)
  t.equal(good.closed?.code, 4002)
})

t.test('HS-16 who keeps failing to authenticate waits longer each time', async (t) => {
  const { server, clock, connect } = createTestServer(t, { authenticate: () => ({ refused: 'no' }) })
  await server.store.open()
  for (const delay of [250, 500, 1_000]) {
    const client = connect()
    client.send({ type: 'hello', pubkey: 'p' })
    await settle()
    clock.advance(delay - 1)
    await settle()
    t.equal(client.frames.length, 0, `not before ${delay} ms`)
    clock.advance(1)
    await client.next('error')
  }
})

t.test('HS-17 extensions: literal missing lists what the client should send', async (t) => {
  const { server, join } = createTestServer(t)
  await server.store.open()
  const alice = peer(1)
  const node = alice.write(set('a'))
  const filters = createFilters(blake3)
  filters.add(node.subarray(0, 32))
  const ibf = Buffer.from(encodeFilter(filters.wide)).toString('base64')
  const client = await join('plans', alice, { ibf, client: { name: 'x', version: '1', ext: ['ack', 'literal-missing', 'seq', 'nonsense'] } })
  const welcome = client.frames[0]
  t.same(welcome.ext, ['literal-missing', 'ack'])
  t.same(welcome.missing, [toHex(node.subarray(0, 32))])
  t.notOk('rate' in welcome)
})

t.test('HS-23 extensions: rate tells how many new nodes and bytes a second are taken, and how many more after a welcome', async (t) => {
  const { server, join } = createTestServer(t, { limits: limitsSchema.parse({ nodesPerSecond: 7, bytesPerSecond: 0 }) })
  await server.store.open()
  const client = await join('plans', peer(1), { client: { name: 'x', version: '1', ext: ['rate'] } })
  t.same(client.frames[0].ext, ['rate'])
  t.same(client.frames[0].rate, { nodes: 7, bytes: 0, reconcile: { nodes: 50_000, bytes: 67_108_864, ms: 30_000 } })
  const again = await join('plans', peer(1), { client: { name: 'x', version: '1', ext: ['rate'] } })
  t.same(again.frames[0].rate, { nodes: 7, bytes: 0 }, 'the allowance is given once a minute')
})

t.test('HS-18 a room that cannot be loaded in time, or at all, closes with 1013 and is asked for again', async (t) => {
  const store = faultyNodeStore(memoryNodes())
  const { server, clock, connect } = createTestServer(t, { store })
  await server.store.open()
  store.faults.fail('load')
  const client = connect()
  client.send({ type: 'hello', pubkey: 'p' })
  t.match(await client.next('error'), { code: 'reject.room_unavailable', msg: 'room loading', retry: true })
  t.equal((await client.ended()).code, 1013)
  const release = store.faults.hold('load')
  const slow = connect()
  slow.send({ type: 'hello', pubkey: 'p' })
  await settle()
  clock.advance(15_000)
  t.equal((await slow.next('error')).code, 'reject.room_unavailable')
  release()
  const third = connect()
  await third.hello()
})

t.test('HS-19 pings go out every 25 s; who misses two is dropped', async (t) => {
  const { server, clock, connect } = createTestServer(t)
  await server.store.open()
  const client = connect()
  await client.hello()
  clock.advance(26_000)
  t.equal(client.pings, 1)
  client.session.alive()
  clock.advance(51_000)
  t.notOk(client.terminated)
  clock.advance(26_000)
  t.ok(client.terminated)
  t.equal(server.rooms.sessions().size, 0)
})

t.test('HS-20 the number of sessions of a room can be bounded', async (t) => {
  const { server, connect } = createTestServer(t, { limit: { sessionsPerRoom: 1 } })
  await server.store.open()
  await connect().hello()
  const second = connect()
  second.send({ type: 'hello', pubkey: 'q' })
  t.equal((await second.next('error')).code, 'reject.server_overload')
  t.equal((await second.ended()).code, 1011)
})

t.test('HS-21 a second hello and unknown types are ignored; malformed JSON is told', async (t) => {
  const { server, connect } = createTestServer(t)
  await server.store.open()
  const client = connect()
  await client.hello()
  for (const message of ['{"type":"hello"}', '{"type":"frobnicate"}', '5', 'null', '[]', '{}', '{"type":7}']) client.send(message)
  client.send('{nope')
  t.match(await client.next('error'), { msg: 'invalid JSON', code: 'reject.protocol_invalid_message' })
  client.send({ type: 'server-info' })
  await client.next('server-info')
  t.same(client.frames.map(({ type }: Frame) => type), ['welcome', 'error', 'server-info'])
})
