import t from 'tap'
import { createRoomCipher } from '../../lib/client/encryption.js'
import { createOrphans } from '../../lib/client/orphans.js'
import { fromBase64, toBase64 } from '../../lib/protocol/base64.js'
import { toHex } from '../../lib/protocol/hex.js'
import { encodeNode, encodeTransaction, nodeId, scanNode } from '../../lib/protocol/node.js'
import type { Op } from '../../lib/protocol/op.js'
import { encodePack, scanPack } from '../../lib/protocol/pack.js'
import { cursor } from '../../lib/protocol/postcard.js'
import { createSigner } from '../../lib/crypto/ed25519.js'
import { blake3, peer } from '../room/harness.js'
import { createRig, setOp, turns, until } from './sync-rig.js'
import { ownHost, scriptedHost } from './sync-hosts.js'
import { memoryStorage } from './sync-storage.js'

const ROOT = 'ab'.repeat(32)
const welcome = (fields: object = {}): object => ({ type: 'welcome', root: ROOT, frontier: [], missing: [], ext: ['ack', 'literal-missing'], ...fields })
const packOf = (...nodes: Uint8Array[]): object => ({ type: 'pack', from: 'server', nodes: toBase64(encodePack(nodes)) })
const idHex = (node: Uint8Array): string => toHex(node.subarray(0, 32))

const signer = createSigner(new Uint8Array(32).fill(9))
function craft (fields: { lamport?: number, ops?: Op[], parents?: Uint8Array[] } = {}): Uint8Array {
  const transaction = encodeTransaction({ author: signer.publicKey, lamport: 1, wallMs: 0, ops: [setOp('crafted')], parents: [], ...fields })
  const id = nodeId(transaction, blake3)
  return encodeNode(id, transaction, signer.sign(id))
}

t.test('SY-30 one bad node is reported and left out; the others of its pack come in', async (t) => {
  const a = await createRig(t)
  const host = scriptedHost()
  a.connect(host)
  host.say(welcome())
  const other = peer(3)
  const good = other.write([setOp('good', '1')])
  const forged = other.write([setOp('forged')]).slice()
  forged[forged.length - 1] ^= 1
  const renamed = craft().slice()
  renamed[0] ^= 1
  const unsigned = craft({ ops: [setOp('unsigned')] }).slice().fill(0, -64)
  const far = craft({ lamport: 2 ** 21 })
  host.say(packOf(renamed, forged, unsigned, far, good))
  await until(() => a.get('good') === '1', 'the good one')
  await a.sync.idle()
  t.same(a.problems.map(({ code, id }) => [code, id]).sort(), [
    ['reject.hash_mismatch', idHex(renamed)],
    ['reject.invalid_signature', idHex(forged)],
    ['reject.invalid_signature', idHex(unsigned)],
    ['reject.lamport_ceiling', idHex(far)]
  ].sort())
  t.equal(a.sync.views.document.keys('map').length, 1)
  t.equal(a.storage.confirmed.size, 1)
})

t.test('SY-31 a pack that breaks off gives what stood before', async (t) => {
  const a = await createRig(t)
  const host = scriptedHost()
  a.connect(host)
  host.say(welcome())
  const other = peer(3)
  const pack = encodePack([other.write([setOp('k1')]), other.write([setOp('k2')])])
  a.sync.pack(pack.slice(0, -10))
  a.sync.pack(new Uint8Array(0))
  a.sync.pack(Uint8Array.of(0xff, 0xff, 0xff, 0x7f))
  await a.sync.idle()
  t.equal(a.get('k1'), 'v')
  t.equal(a.get('k2'), undefined)
  t.same(a.problems.map(({ code }) => code), Array(3).fill('reject.protocol_invalid_message'))
})

t.test('SY-32 the ceiling moves with what comes, in causal order, whatever the order of a pack', async (t) => {
  const a = await createRig(t)
  const chain: Uint8Array[] = []
  for (let i = 1; i <= 5; i++) chain.push(craft({ lamport: i * 1_000_000, ops: [setOp(`k${i}`)], parents: chain.slice(-1).map((node) => node.subarray(0, 32)) }))
  a.sync.pack(encodePack(chain.toReversed()))
  await a.sync.idle()
  t.equal(a.sync.clock, 5_000_000)
  t.same(a.problems, [])
})

t.test('SY-33 orphans wait; their parents are asked for by id, and with everything known when that does not help', async (t) => {
  const a = await createRig(t)
  const host = scriptedHost()
  a.connect(host)
  host.say(welcome())
  const other = peer(3)
  const parent = other.write([setOp('parent')])
  const child = other.write([setOp('child')])
  const grandchild = other.write([setOp('grandchild')])
  a.set('own')
  await until(() => host.heard.some(({ type }) => type === 'pack'), 'the upload')
  host.say({ type: 'pack-ack', incoming_count: 1, accepted_count: 1, rejected_count: 0 })
  host.say(packOf(grandchild, child))
  await a.sync.idle()
  t.equal(a.get('child'), undefined)
  a.clock.advance(499)
  t.same(host.heard.map(({ type }) => type), ['hello', 'pack'])
  a.clock.advance(1)
  t.same(host.heard.at(-1), { type: 'mst-done', ids: [idHex(parent)] })
  a.clock.advance(1000)
  a.clock.advance(2000)
  await until(() => host.heard.at(-1)?.type === 'request', 'the request')
  t.same(host.heard.at(-1)?.known, a.sync.greeting().frontier, 'of a small graph')
  host.say(packOf(parent))
  await until(() => a.get('grandchild') === 'v', 'all of them')
  a.clock.advance(120_000)
  await turns()
  t.equal(host.heard.at(-1)?.type, 'request', 'asked no more')
})

t.test('SY-34 a flood of orphans is bounded, and the oldest go first', async (t) => {
  const most = { nodes: 10, bytes: 1000 }
  const orphans = createOrphans((node) => node, most)
  const views = Array.from({ length: 30 }, (_, i) => scanNode(cursor(craft({ lamport: i + 1, parents: [new Uint8Array(32).fill(i + 1)] }))))
  for (const [i, view] of views.entries()) orphans.add(view, new Uint8Array(32).fill(i + 1))
  t.ok(orphans.size <= 5, 'by bytes')
  orphans.add(views[29], new Uint8Array(32).fill(30))
  t.ok(orphans.size <= 5, 'the same one is kept once')
  t.same(orphans.wanted(2).length, 2)
  t.same(orphans.release('nobody'), [])

  const a = await createRig(t)
  const parent = craft({ ops: [setOp('parent')] })
  const strangers = Array.from({ length: 1200 }, (_, i) => craft({ lamport: i + 2, ops: [setOp(`k${i}`)], parents: [parent.subarray(0, 32)] }))
  a.sync.pack(encodePack(strangers))
  await a.sync.idle()
  const host = scriptedHost()
  a.connect(host)
  a.clock.advance(500)
  t.same(host.heard.at(-1), { type: 'mst-done', ids: [idHex(parent)] })
  a.sync.pack(encodePack([parent]))
  await a.sync.idle()
  t.equal(a.sync.views.document.keys('map').length, 1001)
  t.equal(a.get('k1199'), 'v')
  t.equal(a.get('k0'), undefined)
})

t.test('SY-35 a lying frontier makes nobody wait for ever, and the document stays what it is', async (t) => {
  const a = await createRig(t)
  const host = scriptedHost()
  a.set('mine')
  await a.sync.idle()
  a.connect(host)
  host.say({ type: 'welcome', root: ROOT, frontier: ['cd'.repeat(32), 'nonsense'], missing: [], ext: [] })
  await turns()
  t.equal(a.sync.synced, false)
  a.clock.advance(2000)
  await until(() => host.heard.some(({ type }) => type === 'pack'), 'what is pending is sent all the same')
  t.equal(a.get('mine'), 'v')
  host.say(packOf(...scanPack(fromBase64(String(host.heard.find(({ type }) => type === 'pack')?.nodes))).map((node) => node.bytes.slice(node.start, node.end))))
  await until(() => a.sync.counts.unacknowledged === 0, 'the echo confirms')
  t.equal(a.sync.synced, false, 'what was announced never came')
})

t.test('SY-36 encrypted rooms: everybody with the key reads, the node stays as it was signed', async (t) => {
  const host = await ownHost(t)
  const seed = new Uint8Array(32).fill(5)
  const storage = memoryStorage()
  const a = await createRig(t, { seedByte: 1, cipher: createRoomCipher(seed), storage })
  const b = await createRig(t, { seedByte: 2, cipher: createRoomCipher(seed) })
  const stranger = await createRig(t, { seedByte: 3, cipher: createRoomCipher(new Uint8Array(32).fill(6)) })
  for (const rig of [a, b, stranger]) rig.connect(host)
  await until(() => [a, b, stranger].every((rig) => rig.sync.synced), 'in sync')
  a.sync.write([{ type: 'text-insert-range', key: 'doc', anchor: { at: 'start' }, text: 'secret' }])
  a.set('k')
  await until(() => b.get('k') === 'v', 'it arrives')
  t.equal(b.sync.views.document.text('doc').toString(), 'secret')
  t.equal(b.sync.views.canonical.text('doc').toString(), 'secret')
  t.equal(b.sync.clock, 7, 'sealed ranges count')
  await until(() => stranger.sync.counts.unsaved === 0 && stranger.sync.synced, 'the stranger')
  t.equal(stranger.sync.views.document.text('doc').toString(), '')
  t.notOk([...storage.confirmed.values()].some((node) => Buffer.from(node).includes('secret')))
  a.cut()
  a.set('later')
  await a.sync.idle()
  const again = await createRig(t, { cipher: createRoomCipher(seed), storage })
  t.equal(again.sync.views.document.text('doc').toString(), 'secret')
  t.equal(again.get('later'), 'v')
  t.equal(again.sync.clock, 8)
})

t.test('SY-37 packs that come faster than they can be taken in are dropped and asked for again', async (t) => {
  const a = await createRig(t)
  const host = scriptedHost()
  a.connect(host)
  const other = peer(3)
  const large = encodePack([other.write([{ type: 'map-set', key: 'large', value: new Uint8Array(33 * 1024 * 1024) }])])
  a.sync.pack(large)
  a.sync.pack(large)
  a.sync.pack(large)
  await a.sync.idle()
  await until(() => host.heard.at(-1)?.type === 'request', 'the request')
})

t.test('SY-38 what is stored is trusted for its signature and checked for its id', async (t) => {
  const storage = memoryStorage()
  const other = peer(3)
  const first = other.write([setOp('k1')])
  const second = other.write([setOp('k2')])
  const third = other.write([setOp('k3')])
  const bad = craft().slice()
  bad[40] ^= 1
  storage.load = async function * () {
    yield encodePack([third, second])
    yield encodePack([bad, first, second])
    yield Uint8Array.of(9)
  }
  storage.waiting.set(idHex(first), first)
  const a = await createRig(t, { storage })
  await a.sync.idle()
  t.same(['k1', 'k2', 'k3'].map(a.get), ['v', 'v', 'v'])
  t.same(a.problems.map(({ code }) => code), ['client.storage', 'client.storage'])
  t.equal(storage.waiting.size, 0, 'what is confirmed is not pending')
})

t.test('SY-39 what is under way when everything ends is not taken in', async (t) => {
  const a = await createRig(t)
  const other = peer(3)
  const nodes = Array.from({ length: 100 }, (_, i) => other.write([setOp(`k${i}`)]))
  a.sync.pack(encodePack(nodes.slice(0, 64)))
  a.sync.pack(encodePack(nodes.slice(64)))
  await a.sync.close()
  a.sync.pack(encodePack(nodes))
  await a.sync.idle()
  t.equal(a.sync.views.document.keys('map').length, 0)
})
