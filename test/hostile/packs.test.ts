import t from 'tap'
import { createSigner } from '../../lib/index.js'
import { toHex } from '../../lib/protocol/hex.js'
import { encodeNode, encodeTransaction, nodeId, type Transaction } from '../../lib/protocol/node.js'
import { encodePack, scanPack } from '../../lib/protocol/pack.js'
import type { Message } from '../../lib/testing/connection.js'
import { type Host, blake3, host, packOf, peer, seeded, set } from '../plugin/host.js'
import type { Raw } from '../plugin/raw.js'
import { craftedNodes, lenientlyValid } from './crafted.js'

const signer = createSigner(new Uint8Array(32).fill(21))

/** A node signed by an honest key over whatever transaction the test has in mind. */
function signed (transaction: Partial<Transaction>): Uint8Array {
  const encoded = encodeTransaction({ author: signer.publicKey, lamport: 1, wallMs: 0, ops: set('a'), parents: [], ...transaction })
  const id = nodeId(encoded, blake3)
  return encodeNode(id, encoded, signer.sign(id))
}

/** Sends a pack on a session of its own and gives back the answer, which is a `pack-ack` or an `error` without one. */
async function answerTo ({ raw }: Host, pack: Uint8Array, room = 'plans'): Promise<Message> {
  const client = raw(`/ws/${encodeURIComponent(room)}`)
  await client.hello({ pubkey: 'e'.repeat(64) })
  client.send(packOf(pack))
  client.send({ type: 'server-info' })
  await client.next('server-info')
  const answers = client.frames.filter(({ type }) => type === 'pack-ack' || type === 'error')
  await client.leave()
  return answers.at(-1) ?? { type: 'none' }
}

/** A raw observer of a room: every node relayed to it, by id. */
async function observe ({ raw }: Host, room = 'plans'): Promise<{ client: Raw, ids: () => string[] }> {
  const client = raw(`/ws/${room}`)
  await client.hello({ pubkey: 'd'.repeat(64) })
  const ids = (): string[] => client.frames.filter(({ type }) => type === 'pack').flatMap(({ nodes }) =>
    scanPack(Buffer.from(String(nodes), 'base64')).map(({ bytes, start }) => toHex(bytes.subarray(start, start + 32))))
  return { client, ids }
}

t.test('HO-20 a pack cut off at any byte is refused whole, and the session goes on', async (t) => {
  const server = await host(t)
  const { client: observer, ids } = await observe(server)
  const writer = peer(1)
  const pack = writer.pack([writer.write(set('a')), writer.write([{ type: 'text-insert-range', key: 't', anchor: { at: 'start' }, text: 'häuser' }])])
  const client = server.raw()
  await client.hello()
  for (let length = 0; length < pack.length; length++) {
    client.send(packOf(pack.subarray(0, length), { id: length }))
    t.match(await client.next('error'), { code: 'reject.protocol_invalid_message', msg: 'invalid pack: bad postcard' }, `${length} bytes`)
  }
  t.notOk(client.frames.some(({ type }) => type === 'pack-ack'), 'and nothing is acknowledged')
  client.send(packOf(pack))
  t.match(await client.next('pack-ack'), { accepted_count: 2 })
  await observer.until(() => ids().length > 0, 'the relay')
  t.same(ids().sort(), [...writer.ids()].sort(), 'the whole pack is what the others get')
})

t.test('HO-21 a pack with any byte changed lets nothing through that its author did not sign', async (t) => {
  const seed = Number(process.env.SEED ?? 4711)
  t.comment(`SEED=${seed}`)
  const random = seeded(seed)
  const server = await host(t)
  const writer = peer(1)
  const pack = writer.pack([writer.write(set('a')), writer.write([{ type: 'text-insert-range', key: 't', anchor: { at: 'start' }, text: 'häuser' }])])
  const honest = new Set([...writer.nodes()].map((node) => Buffer.from(node).toString('hex')))
  const codes = new Map<string, number>()
  for (let at = 0; at < pack.length; at++) {
    const broken = Uint8Array.from(pack)
    broken[at] ^= 1 + random(255)
    const answer = await answerTo(server, broken, `room ${at}`)
    const [rejected] = (answer.rejected ?? [answer]) as Message[]
    const code = String(rejected?.code ?? answer.type)
    codes.set(code, (codes.get(code) ?? 0) + 1)
    for await (const { id, signature, ...transaction } of server.app.nodalmerge.room(`room ${at}`).nodes()) {
      const node = Buffer.from(encodeNode(id, encodeTransaction(transaction), signature)).toString('hex')
      if (!honest.has(node)) t.fail(`byte ${at}: ${node}`)
    }
  }
  t.comment(JSON.stringify([...codes]))
  t.notOk(codes.has('none'), 'every pack is answered')
  for (const code of ['reject.hash_mismatch', 'reject.invalid_signature', 'reject.protocol_invalid_message']) t.ok(codes.has(code), code)
})

t.test('HO-22 counts and lengths beyond the input are refused before anything is allocated for them', async (t) => {
  const server = await host(t)
  const huge = [[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02], [0xff, 0xff, 0xff, 0xff, 0x0f], [0x80, 0x80, 0x80, 0x10]]
  const writer = peer(1)
  const node = writer.write(set('key', 'value'))
  // Of the node: operations, key length, value length, parents.
  const [ops, key] = [64 + 1 + varint(node, 65), 64 + 1 + varint(node, 65) + 3]
  const places = [ops, key, key + 4, key + 10]
  const before = process.memoryUsage().rss
  for (const count of huge) {
    t.match(await answerTo(server, Uint8Array.from(count)), { code: 'reject.protocol_invalid_message' })
    t.match(await answerTo(server, Uint8Array.of(...count, ...node)), { code: 'reject.protocol_invalid_message' })
    for (const at of places) {
      const broken = Uint8Array.of(1, ...node.subarray(0, at), ...count, ...node.subarray(at + 1))
      t.match(await answerTo(server, broken), { code: 'reject.protocol_invalid_message' }, `place ${at}`)
    }
  }
  t.ok(process.memoryUsage().rss - before < 200e6)
  t.match(await answerTo(server, encodePack([node])), { accepted_count: 1 }, 'the node itself is fine')
})

/** Bytes that the varint at `at` takes. */
function varint (bytes: Uint8Array, at: number): number {
  let length = 1
  while (bytes[at + length - 1] >= 0x80) length++
  return length
}

t.test('HO-23 a node spelled with over-long varints is taken in its canonical form', async (t) => {
  const server = await host(t)
  const { client, ids } = await observe(server)
  const node = signed({})
  const loose = Uint8Array.of(...node.subarray(0, 64), 0x81, 0x80, 0x80, 0x00, 0x80, 0x00, ...node.subarray(66))
  t.match(await answerTo(server, Uint8Array.of(0x81, 0x00, ...loose)), { accepted_count: 1, rejected_count: 0 })
  t.match(await answerTo(server, encodePack([node])), { accepted_count: 1, duplicate_count: 1 }, 'it is the same node')
  await client.until(() => ids().length > 0, 'the relay')
  t.same(Buffer.from(String(client.frames.find(({ type }) => type === 'pack')?.nodes), 'base64'), Buffer.from(encodePack([node])))
  const fresh = await observe(server)
  await fresh.client.until(() => fresh.ids().length > 0, 'the catch-up')
  t.same(fresh.ids(), [toHex(node.subarray(0, 32))])
})

t.test('HO-24 bytes after the nodes are neither looked at nor kept', async (t) => {
  const server = await host(t)
  const node = signed({})
  t.match(await answerTo(server, Uint8Array.of(...encodePack([node]), ...new Uint8Array(100_000).fill(7))), { incoming_count: 1, accepted_count: 1 })
  const { client } = await observe(server)
  const pack = await client.next('pack')
  t.equal(Buffer.from(String(pack.nodes), 'base64').length, node.length + 1)
})

t.test('HO-25 of ten crafted signatures only the honest one is accepted, whoever else would accept them', async (t) => {
  for (const threads of [0, 1]) {
    const server = await host(t, threads === 0 ? {} : { verifyThreads: 1 })
    const { client, ids } = await observe(server)
    const nodes = craftedNodes(new Uint8Array(32).fill(5), blake3)
    t.equal(nodes.filter(({ node }) => lenientlyValid(node)).length, 9, 'a lenient verifier takes all but S + L')
    // Alone (verified here) and among many (verified by a worker).
    const filler = threads === 0 ? [] : Array.from({ length: 40 }, (_, i) => signed({ lamport: i + 1 }))
    for (const { name, node } of nodes) {
      const answer = await answerTo(server, encodePack([...filler, node]))
      if (name === 'honest') t.match(answer, { rejected_count: 0 }, name)
      else t.match(answer, { rejected_count: 1, rejected: [{ code: 'reject.invalid_signature' }] }, name)
    }
    await client.until(() => ids().length === filler.length + 1, 'the honest ones')
    t.match(await server.app.nodalmerge.room('plans').open(), { nodes: filler.length + 1 })
  }
})

t.test('HO-26 ids and signatures of others, and zero signatures, are refused; the rest of the pack is accepted', async (t) => {
  const server = await host(t)
  const { client, ids } = await observe(server)
  const writer = peer(1)
  const nodes = Array.from({ length: 6 }, (_, i) => Buffer.from(signed({ lamport: i + 1 })))
  nodes[1].set(signed({ lamport: 90 }).subarray(0, 32), 0)
  nodes[2].fill(0, nodes[2].length - 64)
  nodes[3].set(nodes[4].subarray(-64), nodes[3].length - 64)
  const foreign = Buffer.from(signed({ lamport: 91 }))
  foreign.set(writer.publicKey, 32)
  const answer = await answerTo(server, encodePack([...nodes, foreign]))
  t.match(await answerTo(server, encodePack([signed({ lamport: 90 })])), { accepted_count: 1 }, 'whose id was taken in vain')
  t.match(answer, { incoming_count: 7, accepted_count: 3, rejected_count: 4 })
  t.same((answer.rejected as Message[]).map(({ code }) => code).sort(), ['reject.hash_mismatch', 'reject.hash_mismatch', 'reject.invalid_signature', 'reject.invalid_signature'])
  await client.until(() => ids().length === 4, 'the honest ones')
})

t.test('HO-27 reserved keys are the server\'s alone, save for an encrypted node of exactly one write', async (t) => {
  const server = await host(t)
  const value = new Uint8Array(32)
  const keys = ['\u0000', '\u0000snap:hash', '\u0000snap:front', '\u0000snap:policy:cutover', '\u0000e2ee2', '\u0000\u0000e2ee', '\u0000E2EE']
  for (const key of keys) {
    for (const ops of [[{ type: 'map-set' as const, key, value }], [...set('a'), { type: 'map-delete' as const, key }]]) {
      t.match(await answerTo(server, encodePack([signed({ ops })])), { rejected: [{ code: 'reject.authority_required' }] }, JSON.stringify(key))
    }
  }
  const e2ee = { type: 'map-set' as const, key: '\u0000e2ee', value }
  for (const ops of [[e2ee, e2ee], [e2ee, ...set('a')], [{ type: 'map-delete' as const, key: '\u0000e2ee' }], [{ type: 'text-insert' as const, key: '\u0000e2ee', after: null, char: 'a' }]]) {
    t.match(await answerTo(server, encodePack([signed({ ops })])), { rejected: [{ code: 'reject.authority_required' }] })
  }
  t.match(await answerTo(server, encodePack([signed({ ops: [e2ee] })])), { accepted_count: 1, rejected_count: 0 })
})

t.test('HO-28 clocks far ahead are refused at any size, without moving the room\'s clock', async (t) => {
  const server = await host(t)
  const far = [1 << 21, 2 ** 31, 2 ** 32, 2 ** 52, Number.MAX_SAFE_INTEGER]
  for (const lamport of far) {
    t.match(await answerTo(server, encodePack([signed({ lamport })])), { rejected: [{ code: 'reject.lamport_ceiling' }] }, String(lamport))
  }
  for (const wallMs of [Date.now() + 90_000_000, 2 ** 52, Number.MAX_SAFE_INTEGER]) {
    t.match(await answerTo(server, encodePack([signed({ wallMs })])), { rejected: [{ code: 'reject.wall_clock_skew' }] }, String(wallMs))
  }
  // 2^64 - 1 in both clocks, which no number here can hold.
  const top = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]
  const plain = signed({})
  const transaction = Uint8Array.of(...plain.subarray(32, 64), ...top, ...top, ...plain.subarray(66, -64))
  const id = nodeId(transaction, blake3)
  t.match(await answerTo(server, encodePack([encodeNode(id, transaction, signer.sign(id))])), { rejected: [{ code: 'reject.lamport_ceiling' }] })
  t.match(await answerTo(server, encodePack([signed({ lamport: 1 << 20 })])), { accepted_count: 1 }, 'within the slack it may')
})

t.test('HO-29 nodes whose parents nobody has wait within a bound, and the room goes on', async (t) => {
  const server = await host(t, { limits: { orphanNodes: 100 } })
  const { client, ids } = await observe(server)
  const nobody = new Uint8Array(32).fill(9)
  for (const parents of [[nobody], [nobody, nobody], Array.from({ length: 500 }, (_, i) => new Uint8Array(32).fill(i & 255))]) {
    t.match(await answerTo(server, encodePack([signed({ parents, wallMs: parents.length })])), { accepted_count: 0, rejected: [{ code: 'reject.missing_parent' }] })
  }
  const flood = Array.from({ length: 2_000 }, (_, i) => signed({ parents: [nobody], lamport: 1, wallMs: 10 + i }))
  t.match(await answerTo(server, encodePack(flood)), { accepted_count: 0, rejected_count: 2_000, rejected: { length: 64 } })
  const good = signed({})
  const twice = signed({ parents: [good.subarray(0, 32), good.subarray(0, 32)], lamport: 2 })
  t.match(await answerTo(server, encodePack([twice, good])), { accepted_count: 2 }, 'a parent named twice is one parent')
  await client.until(() => ids().length === 2, 'the relay')
})

t.test('HO-30 one node may be very large, have very many operations or none at all', async (t) => {
  const server = await host(t)
  const reader = server.join('plans', peer(2))
  await reader.synced()
  const shapes: Array<Partial<Transaction>> = [
    { ops: [] },
    { ops: [{ type: 'map-set', key: 'big', value: new Uint8Array(4_000_000) }] },
    { ops: Array.from({ length: 200_000 }, (_, i) => ({ type: 'map-delete' as const, key: String(i) })), lamport: 2 },
    { ops: [{ type: 'text-insert-range', key: 't', anchor: { at: 'offset', offset: 2 ** 32 - 1 }, text: '😀'.repeat(100_000) }], lamport: 3 },
    { ops: [{ type: 'text-delete-range', key: 't', anchor: { at: 'start' }, count: 2 ** 32 - 1 }], lamport: 4 },
    { ops: set('\ud83d\ude00/'.repeat(10_000)), lamport: 5 }
  ]
  for (const shape of shapes) t.match(await answerTo(server, encodePack([signed(shape)])), { accepted_count: 1 })
  await reader.until(() => reader.peer.size === shapes.length)
  t.match(await server.app.nodalmerge.room('plans').open(), { nodes: shapes.length, root: reader.peer.root })
})

t.test('HO-31 blobs that are not what they are called are refused by name and never served', async (t) => {
  const server = await host(t, { limits: { blobSocketBytes: 1_000 } })
  const client = server.raw()
  await client.hello()
  const good = Buffer.from('good')
  const name = toHex(blake3.hash(good))
  client.send({
    type: 'blob-upload',
    blobs: [
      { hash: '0'.repeat(64), data: good.toString('base64') },
      { hash: '../../../etc/passwd', data: 'AAAA' },
      { hash: `${name}/..`, data: good.toString('base64') },
      { hash: toHex(blake3.hash(new Uint8Array(2_000))), data: Buffer.alloc(2_000).toString('base64') },
      { hash: name.toUpperCase(), data: good.toString('base64') }
    ]
  })
  t.match(await client.next('blob-available'), { hashes: [name] })
  t.same(client.frames.filter(({ type }) => type === 'error').map(({ code }) => code), ['reject.blob_hash_mismatch', 'reject.blob_hash_invalid', 'reject.blob_hash_invalid', 'reject.blob_too_large'])
  client.send({ type: 'blob-request', hashes: [name, '0'.repeat(64), '../x', ''] })
  t.match(await client.next('blob-pack'), { blobs: [{ hash: name, data: good.toString('base64') }], requested: [name, '0'.repeat(64), '../x', ''] })
  const other = server.raw('/ws/other')
  await other.hello()
  other.send({ type: 'blob-request', hashes: [name] })
  t.match(await other.next('blob-pack'), { blobs: [] }, 'another room does not get it by its name')
})
