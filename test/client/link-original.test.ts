import t from 'tap'
import { createSigner } from '../../lib/crypto/ed25519.js'
import { IBF_KEYS, createFilters, encodeFilter } from '../../lib/dag/ibf.js'
import { toBase64 } from '../../lib/protocol/base64.js'
import { loadBlake3 } from '../../lib/protocol/blake3-wasm.js'
import { fromHex, toHex } from '../../lib/protocol/hex.js'
import { mintToken } from '../../lib/protocol/token.js'
import { utf8Encode } from '../../lib/protocol/postcard.js'
import { type FakeClock, createFakeClock } from '../../lib/testing/clock.js'
import { type Peer, createPeer } from '../../lib/testing/peer.js'
import { type OriginalOptions, type OriginalServer, createOriginalServer } from './original-server.js'
import type { Message } from './original-session.js'

const blake3 = await loadBlake3([...IBF_KEYS])
const turn = async (): Promise<void> => { await new Promise((resolve) => setImmediate(resolve)) }

interface Raw { frames: Message[], closed: { code: number, reason: string } | null, send (message: object | string): void, of (type: string): Message[], leave (): void }

function connect (server: OriginalServer, room: string): Raw {
  const socket = server.open(`ws://original/ws/${encodeURIComponent(room)}`)
  const raw: Raw = {
    frames: [],
    closed: null,
    send: (message) => { socket.send(typeof message === 'string' ? message : JSON.stringify(message)) },
    of: (type) => raw.frames.filter((frame) => frame.type === type),
    leave: () => { socket.close(1000) }
  }
  socket.addEventListener('message', ({ data }) => { raw.frames.push(JSON.parse(String(data)) as Message) })
  socket.addEventListener('close', (closed) => { raw.closed = { code: closed.code, reason: closed.reason } })
  return raw
}

interface Stage { server: OriginalServer, clock: FakeClock, join (peer: Peer, fields?: object, room?: string): Promise<Raw> }

function stage (options: Partial<OriginalOptions> = {}): Stage {
  const clock = createFakeClock()
  const server = createOriginalServer({ blake3, clock, ...options })
  return {
    server,
    clock,
    async join (peer, fields = {}, room = 'plans') {
      const raw = connect(server, room)
      raw.send({ type: 'hello', room, pubkey: peer.key, frontier: peer.frontier, ...fields })
      await turn()
      clock.advance(100)
      await turn()
      return raw
    }
  }
}

const peer = (seed: number): Peer => createPeer({ blake3, seed: new Uint8Array(32).fill(seed), now: () => 1_700_000_000_000 })
const write = (of: Peer, count: number): Uint8Array[] => Array.from({ length: count }, (_, i) => of.write([{ type: 'map-set', key: `k/${i}`, value: utf8Encode('1') }]))
const packOf = (from: Peer, nodes: readonly Uint8Array[]): object => ({ type: 'pack', nodes: toBase64(from.pack(nodes)) })
const filterOf = (of: Peer): string => {
  const filters = createFilters(blake3)
  for (const id of of.ids()) filters.add(fromHex(id, 32) ?? new Uint8Array(32))
  return toBase64(encodeFilter(filters.wide))
}
const noFilters = { caps: { supports_ibf: false } }

t.test('LK-1 the emulated original server greets late, without extensions, and never acknowledges a pack', async (t) => {
  const { server, clock } = stage()
  const alice = peer(1)
  const nodes = write(alice, 3)
  const raw = connect(server, 'plans')
  raw.send({ type: 'hello', pubkey: alice.key, frontier: alice.frontier, client: { name: 'nodalmerge', version: '1', ext: ['ack'] } })
  raw.send(packOf(alice, nodes))
  await turn()
  clock.advance(99)
  await turn()
  t.same(raw.frames, [])
  clock.advance(1)
  await turn()
  const [welcome] = raw.frames
  t.equal(raw.frames.length, 1)
  t.match(welcome, { type: 'welcome', frontier: [], missing: [], peers: [], caps: { supports_ibf: true, supports_direct_blob_io: true } })
  t.notOk('ext' in welcome || 'session_id' in welcome || 'room' in welcome)
  t.equal(server.room('plans').dag.size, 3, 'what came before the welcome was worked off')
})

t.test('LK-2 its difference follows the table, and missing has three meanings', async (t) => {
  const { server, join } = stage({ rate: { nodes: 0, bytes: 0 } })
  const alice = peer(1)
  const shared = write(alice, 5)
  const raw = await join(alice)
  raw.send(packOf(alice, shared))
  await turn()
  const ids = [...alice.ids()].sort()
  const bob = createPeer({ blake3, seed: new Uint8Array(32).fill(2), nodes: shared.slice(0, 3) })
  const own = toHex(write(bob, 1)[0].subarray(0, 32))
  const lacking = (message: Message): string[] => message.missing as string[]
  const received = (from: Raw): number => peer(9).receive(Buffer.from(String(from.of('pack')[0]?.nodes ?? 'AA=='), 'base64')).accepted.length

  const exact = await join(bob, { ibf: filterOf(bob) })
  t.same(lacking(exact.frames[0]), [own], 'by the filter: what only the client has')
  t.equal(exact.of('pack').length, 1)
  const broken = await join(bob, { ibf: '!' })
  t.same(lacking(broken.frames[0]), [])
  t.equal(received(broken), 5, 'a filter that cannot be read brings everything')
  const none = await join(alice)
  t.same(lacking(none.frames[0]), [])
  t.equal(none.of('pack').length, 1, 'without a filter: everything but the heads')
  const off = await join(alice, noFilters)
  t.same(lacking(off.frames[0]).sort(), ids.filter((id) => !alice.frontier.includes(id)), 'not negotiated: what the server has')
  t.equal(server.sessions, 5)
})

t.test('LK-3 it relays by public key, tells refusals as text, and drops what lacks a parent', async (t) => {
  const { server, join } = stage()
  const [alice, bob] = [peer(1), peer(2)]
  const one = await join(alice)
  const tab = await join(alice)
  const two = await join(bob)
  t.same(one.of('peer-joined').map((frame) => frame.from), [bob.key])
  const [first, second, third] = write(alice, 3)
  one.send(packOf(alice, [second, third]))
  await turn()
  t.same(one.of('error').map((frame) => frame.msg), ['missing_parent: 2 node(s) unresolved'])
  one.send(packOf(alice, [first]))
  await turn()
  t.equal(server.room('plans').dag.size, 1, 'nothing was kept')
  t.match(two.of('pack'), [{ from: alice.key }])
  t.same(tab.of('pack'), [], 'a second tab of one key hears nothing')
  const forged = Uint8Array.from(write(bob, 1)[0])
  forged[forged.length - 1] ^= 1
  two.send(packOf(bob, [forged]))
  two.send({ type: 'pack', nodes: '!' })
  two.send('{')
  two.send({ type: 'presence-set', data: 1 })
  two.send({ type: 'presence', data: { x: 1 } })
  await turn()
  t.match(two.of('error').map((frame) => frame.msg), [/^invalid ed25519 signature on node /, 'invalid pack: bad base64', 'invalid JSON'])
  t.same(one.of('presence'), [{ type: 'presence', from: bob.key, data: { x: 1 } }])
  two.leave()
  await turn()
  t.same(one.of('peer-left').map((frame) => frame.from), [bob.key])
  tab.leave()
  await turn()
  t.same(one.of('peer-left').length, 1)
})

t.test('LK-4 it counts whole packs against its rate, policies and locks hold, tokens end', async (t) => {
  const { server, join, clock } = stage()
  const alice = peer(1)
  const raw = await join(alice)
  raw.send(packOf(alice, write(alice, 201)))
  await turn()
  t.match(raw.closed, { code: 4008 })
  t.equal(server.room('plans').dag.size, 0)

  server.setPolicy('ruled', { rules: [{ pathGlob: 'k/**', canWrite: [], canRead: [], canDerive: [] }], default: 'allow' })
  const bob = peer(2)
  const ruled = await join(bob, {}, 'ruled')
  ruled.send(packOf(bob, write(bob, 1)))
  await turn()
  t.match(ruled.of('error'), [{ msg: /^policy violation: author \[\d+, .*\] not permitted to write key 'k\/0'$/ }])

  const key = createSigner(new Uint8Array(32).fill(9))
  server.lock('shut', key.publicKey)
  const denied = await join(bob, {}, 'shut')
  t.match(denied.frames, [{ type: 'error', msg: /^auth: / }])
  t.match(denied.closed, { code: 1006 })
  const expiry = Math.floor(clock.now() / 1000) + 60
  const token = mintToken({ room: 'shut', peer: bob.publicKey, expiry, caps: [] }, key)
  const admitted = await join(bob, { token }, 'shut')
  t.equal(admitted.frames[0].type, 'welcome')
  clock.advance(60_000)
  await turn()
  t.match(admitted.closed, { code: 4002, reason: 'token expired' })
  const silent = connect(server, 'plans')
  clock.advance(15_000)
  await turn()
  t.match(silent.closed, { code: 1006 })
})

t.test('LK-5 it stores blobs, names what it stored to everybody, and redirects when it has an object store', async (t) => {
  const bytes = utf8Encode('an image')
  const hash = toHex(blake3.hash(bytes))
  const upload = { type: 'blob-upload', blobs: [{ hash, data: toBase64(bytes) }, { hash: '00'.repeat(32), data: toBase64(bytes) }] }
  const plain = stage()
  const [one, two] = [await plain.join(peer(1)), await plain.join(peer(2))]
  one.send(upload)
  one.send({ type: 'request-upload', hash, size: 8 })
  two.send({ type: 'blob-request', hashes: [hash, 'ff'] })
  await turn()
  t.same([one, two].map((raw) => raw.of('blob-available').map((frame) => frame.hashes)), [[[hash]], [[hash]]])
  t.match(one.of('upload-denied'), [{ hash, reason: 'use-ws' }])
  t.same(two.of('blob-pack'), [{ type: 'blob-pack', blobs: [{ hash, data: toBase64(bytes) }], requested: [hash, 'ff'] }])

  const store = stage({ presign: { put: (name) => `http://store/put/${name}`, get: (name) => `http://store/get/${name}` } })
  const raw = await store.join(peer(1))
  raw.send({ type: 'request-upload', hash, size: 8 })
  raw.send({ type: 'blob-uploaded', hash })
  raw.send({ type: 'blob-request', hashes: [hash] })
  await turn()
  t.match(raw.of('upload-granted'), [{ hash, url: `http://store/put/${hash}` }])
  t.match(raw.of('upload-rejected'), [{ hash, reason: 'object not found' }])
  t.match(raw.of('blob-redirect'), [{ redirects: [{ hash, url: `http://store/get/${hash}` }] }])
  t.same(raw.of('blob-pack'), [{ type: 'blob-pack', blobs: [], requested: [] }])
})
