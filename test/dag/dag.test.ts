import assert from 'node:assert/strict'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import fc from 'fast-check'
import { nobleBlake3 } from '../../lib/protocol/blake3.js'
import { concat } from '../../lib/protocol/bytes.js'
import { fromBase64 } from '../../lib/protocol/base64.js'
import { toHex } from '../../lib/protocol/hex.js'
import { type NodeView, bytesOf, encodeNode, idOf, scanNode } from '../../lib/protocol/node.js'
import { scanPack } from '../../lib/protocol/pack.js'
import { cursor, take, writeRaw, writeVarint, writer } from '../../lib/protocol/postcard.js'
import { createDag } from '../../lib/dag/dag.js'
import { decodeFrontier, encodeFrontier, formatFrontier, merkleRoot, parseFrontier } from '../../lib/dag/frontier.js'
import {
  dagOf, grow, hex, hexes, leaves, makeNode, nodesOf, repeated, sequence, shapes, sortedHexes, spreadIds, vectors
} from './sample.js'

const { nodes_pack_five: five, linear_chain: chain, diamond_dag: diamond } = vectors.derived
const EMPTY_ROOT = 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262'

interface VectorNode { id_hex: string, transaction_postcard_hex: string, signature_hex: string }
const fromVector = (n: VectorNode) =>
  scanNode(cursor(encodeNode(hex(n.id_hex), hex(n.transaction_postcard_hex), hex(n.signature_hex))))

t.test('DG-1 a node is kept byte for byte and found by its id', async (t) => {
  const pack = fromBase64(five.pack_of_five_base64)
  const views = scanPack(pack)
  const dag = grow(views)
  pack.fill(0)
  t.equal(dag.size, 5)
  t.equal(dag.byteLength, pack.length - 1)
  five.nodes.forEach((n: VectorNode, i: number) => {
    t.equal(dag.indexOf(hex(n.id_hex)), i)
    t.same(dag.bytes(i), bytesOf(fromVector(n)))
    t.equal(toHex(dag.id(i)), n.id_hex)
    t.equal(dag.lamport(i), i + 1)
    const { lamport, parentCount, opCount } = dag.view(i)
    t.same({ lamport, parentCount, opCount }, { lamport: i + 1, parentCount: 0, opCount: 1 })
  })
  t.equal(dag.indexOf(concat([new Uint8Array(3), hex(five.nodes[4].id_hex)]), 3), 4)
  t.equal(dag.indexOf(repeated(0)), -1)
  t.equal(dag.indexOf(hex(five.nodes[4].id_hex).subarray(0, 31)), -1)
  t.equal(createDag(nobleBlake3).indexOf(repeated(0)), -1)
})

t.test('DG-1 every size of node and of room is kept, the largest nodes included', async (t) => {
  const next = sequence(5)
  const lengths = [...Array.from({ length: 40 }, () => next() % 3000), 1 << 20, 10, 3 << 20, 10, (1 << 20) - 200, 500, 20]
  const nodes = lengths.map((length, i) =>
    makeNode([], { salt: i, ops: [{ type: 'map-set', key: 'k', value: new Uint8Array(length).fill(i) }] }))
  const dag = grow(nodes)
  nodes.forEach((node, i) => {
    t.ok(Buffer.from(bytesOf(node)).equals(dag.bytes(i)), `node of ${lengths[i]} bytes`)
    t.equal(dag.length(i), node.end - node.start)
  })
  t.equal(dag.byteLength, nodes.reduce((sum, node) => sum + node.end - node.start, 0))
})

t.test('DG-2 a node whose parent is missing, and one that is held already, are refused and change nothing', async (t) => {
  const root = makeNode([])
  const dag = grow([root])
  const before = [toHex(dag.root()), dag.byteLength, dag.clock]
  t.throws(() => dag.append(makeNode([idOf(root), repeated(1)], { lamport: 9 })), {
    code: 'reject.missing_parent', message: `missing parent node: ${'01'.repeat(32)}`
  })
  t.throws(() => dag.append(root), { name: 'RangeError', message: `duplicate node: ${toHex(idOf(root))}` })
  t.same([toHex(dag.root()), dag.byteLength, dag.clock], before)
  t.equal(dag.size, 1)
  t.equal(dag.firstChild(0), -1)
})

t.test('DG-3 any run of nodes is at hand as few views in the order of arrival', async (t) => {
  const nodes = spreadIds(3000).map((id) => makeNode([], { id }))
  const dag = grow(nodes)
  for (const [from, to] of [[0, 0], [0, 1], [0, 3000], [7, 8], [2, 2999], [1500, 1600], [2999, 3000], [9, 4]]) {
    const views = dag.slices(from, to)
    t.ok(Buffer.from(concat(views)).equals(concat(nodes.slice(from, to).map(bytesOf))), `[${from}, ${to})`)
  }
  t.ok(dag.slices(0, 3000).length < 20)
  t.equal(dag.slices(1500, 1510).length, 1)
  t.equal(dag.slices(0, 3000)[0].buffer, dag.slices(0, 1)[0].buffer)
})

t.test('DG-4 heads and root are those of the vectors', async (t) => {
  const dag = createDag(nobleBlake3)
  t.equal(toHex(dag.root()), EMPTY_ROOT)
  t.same(dag.heads(), [])
  const line = grow(scanPack(fromBase64(chain.pack_base64)))
  t.same(hexes(line.heads()), chain.ids_hex.slice(-1))
  t.equal(toHex(line.root()), chain.merkle_root_all_8)
  t.equal(toHex(encodeFrontier(line.heads())), chain.frontier_postcard_hex)
  t.same(Array.from({ length: 8 }, (_, i) => line.firstParent(i)), [-1, 0, 1, 2, 3, 4, 5, 6])
  const split = grow(diamond.nodes.slice(0, 3).map(fromVector))
  t.equal(toHex(split.root()), diamond.merkle_root_before_merge)
  t.equal(toHex(encodeFrontier(split.heads())), diamond.frontier_before_merge_postcard_hex)
  t.equal(split.heads(), split.heads(), 'computed once')
  split.append(fromVector(diamond.nodes[3]))
  t.equal(toHex(split.root()), diamond.merkle_root_after_merge)
  t.same(split.parents(3), [1, 2])
})

t.test('DG-4 parents, children, leaves and widths equal those of a plain model', async () => {
  fc.assert(fc.property(shapes(60), (shape) => {
    const nodes = nodesOf(shape)
    const dag = createDag(nobleBlake3)
    shape.forEach((parents, i) => {
      assert.equal(dag.append(nodes[i]), i)
      const heads = leaves(shape, i + 1)
      assert.deepEqual([...dag.headIndices()].sort((a, b) => a - b), heads)
      assert.deepEqual(hexes(dag.heads()), sortedHexes(heads.map((h) => idOf(nodes[h]))))
      assert.deepEqual(hexes(dag.headIndices().map(dag.id)), hexes(dag.heads()))
      assert.equal(dag.width(i), heads.length)
      assert.deepEqual(dag.parents(i), [...new Set(parents)])
      assert.equal(dag.firstParent(i), parents[0] ?? -1)
    })
    shape.forEach((_, i) => assert.equal(dag.firstChild(i), shape.findIndex((parents) => parents.includes(i))))
    assert.deepEqual(dag.root(), merkleRoot(nodes.filter((_, i) => leaves(shape).includes(i)).map(idOf), nobleBlake3))
  }), { numRuns: 40 })
})

t.test('DG-5 the clock is the greatest lamport value taken, those of range inserts included', async (t) => {
  const dag = createDag(nobleBlake3)
  t.equal(dag.clock, 0)
  dag.append(makeNode([], { lamport: 10, ops: [{ type: 'text-insert-range', key: 'k', anchor: { at: 'start' }, text: 'ab😀' }] }))
  t.equal(dag.clock, 12)
  dag.append(makeNode([], { lamport: 11 }))
  t.equal(dag.clock, 12)
  for (const lamport of [2 ** 32 + 1, 2 ** 53 - 1]) {
    const index = dag.append(makeNode([], { lamport }))
    t.equal(dag.lamport(index), lamport)
    t.equal(dag.clock, lamport)
  }
  const w = writer()
  writeRaw(w, concat([repeated(1), repeated(2), hex('ffffffffffffffffff01')]))
  for (const zero of [0, 0, 0]) writeVarint(w, zero)
  writeRaw(w, new Uint8Array(64))
  t.equal(dag.lamport(dag.append(scanNode(cursor(take(w))))), 2 ** 64)
})

t.test('DG-6 a parent listed twice counts once, and any number of parents is read back', async (t) => {
  const roots = Array.from({ length: 300 }, (_, salt) => makeNode([], { salt }))
  const ids = roots.map(idOf)
  const dag = grow(roots)
  const twice = dag.append(makeNode([ids[4], ids[4]]))
  t.same(dag.parents(twice), [4])
  t.equal(dag.width(twice), 300)
  for (const count of [2, 254, 255, 256, 300]) {
    const index = dag.append(makeNode(ids.slice(0, count), { salt: count, ops: [{ type: 'map-delete', key: 'k' }] }))
    t.same(dag.parents(index), Array.from({ length: count }, (_, i) => i))
  }
  t.equal(dag.width(dag.size - 1), 6)
  t.equal(dag.firstChild(4), twice)
})

t.test('DG-7 ids that share a prefix are found without looking at the others', async (t) => {
  for (const count of [0, 1, 11, 4095, 4096, 4097, 9000]) {
    const ids = spreadIds(count)
    const dag = dagOf(ids)
    const texts = hexes(ids)
    t.same(texts.filter((_, i) => dag.indexOf(ids[i]) !== i), [])
    for (const prefix of ['', '0', 'f', '7f', 'ff', '00', 'a3c', 'fff', ...texts.slice(0, 5).map((text, i) => text.slice(0, 3 + 13 * i))]) {
      const expected = texts.flatMap((text, i) => text.startsWith(prefix) ? [i] : [])
      t.same(dag.withPrefix(hex(prefix.padEnd(64, '0')), prefix.length).sort((a, b) => a - b), expected, `${count} ids, ${prefix}`)
    }
  }
})

t.test('DG-7 ids made to collide are still told apart and found by prefix', async (t) => {
  const near = (lead: string) => Array.from({ length: 200 }, (_, i) => hex(lead.padEnd(60, '0') + i.toString(16).padStart(4, '0')))
  const ids = [...near('ffffffffff'), ...near('fffffffffe'), ...near('0000000000'), ...near('00000f')]
  for (const others of [0, 5000]) {
    const dag = dagOf([...spreadIds(others), ...ids])
    t.equal(ids.findIndex((id, i) => dag.indexOf(id) !== others + i), -1)
    t.equal(dag.indexOf(hex('f'.repeat(64))), -1)
    for (const [prefix, count] of [['ffffffffff', 200], ['fffffffff', 400], ['0000000000', 200], ['00000f', 200], ['ffffffff00', 0]] as const) {
      t.equal(dag.withPrefix(hex(prefix.padEnd(64, '0')), prefix.length).length, count, prefix)
    }
  }
})

t.test('DG-7 tens of thousands of ids with one leading byte stay in order', async (t) => {
  const ids = spreadIds(50_000).map((id) => id.fill(0x42, 0, 1))
  const texts = hexes(ids)
  const dag = dagOf(ids)
  t.equal(ids.findIndex((id, i) => dag.indexOf(id) !== i), -1)
  for (const prefix of ['42', '420', '42ff', '42ffe', '42abcde']) {
    const expected = texts.flatMap((text, i) => text.startsWith(prefix) ? [i] : [])
    t.same(dag.withPrefix(hex(prefix.padEnd(64, '0')), prefix.length).sort((a, b) => a - b), expected, prefix)
  }
})

t.test('DG-8 a frontier reads back sorted and without repeats', async (t) => {
  t.equal(toHex(encodeFrontier([])), '00')
  t.same(decodeFrontier(hex('00')), [])
  t.same(decodeFrontier(concat([encodeFrontier([repeated(9), repeated(3), repeated(9)]), repeated(1)])), [repeated(3), repeated(9)])
  t.same(decodeFrontier(concat([hex('02'), repeated(9), repeated(3)])), [repeated(3), repeated(9)])
  t.same(formatFrontier([repeated(0xab), repeated(2)]), ['02'.repeat(32), 'ab'.repeat(32)])
  t.same(parseFrontier(['AB'.repeat(32), 'ab'.repeat(32), 'ab', 7, null, `${'02'.repeat(31)}0g`, '02'.repeat(32)]), [repeated(2), repeated(0xab)])
  for (const list of [undefined, null, 'ab'.repeat(32), {}]) t.same(parseFrontier(list), [])
})

t.test('DG-8 a frontier shorter than its count is refused before anything is allocated', async (t) => {
  for (const bytes of ['', '01', '02' + '00'.repeat(63), 'ffffffffffffffff7f', 'ffffffffffffffffff01' + '00'.repeat(32)]) {
    t.throws(() => decodeFrontier(hex(bytes)), { code: 'reject.protocol_invalid_message' })
  }
})

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Bytes of the buffers that are left over from `run`, whose result is kept meanwhile. */
function retained (run: () => unknown): number {
  collectGarbage()
  const before = process.memoryUsage().arrayBuffers
  const kept = run()
  collectGarbage()
  const after = process.memoryUsage().arrayBuffers
  t.ok(kept)
  return after - before
}

t.test('DG-9 an empty room holds no buffers, a small one little, a large one 40 bytes per node beside the nodes', async (t) => {
  const rooms = (nodes: NodeView[]) => Array.from({ length: 1000 }, () => grow(nodes))
  t.ok(retained(() => rooms([])) < 10_000)
  t.ok(retained(() => rooms(spreadIds(2).map((id) => makeNode([], { id })))) < 3_000_000)
  const nodes = spreadIds(40_000).map((id) => makeNode([], { id }))
  const bytes = nodes.reduce((sum, node) => sum + node.end - node.start, 0)
  const beside = retained(() => grow(nodes)) - bytes
  t.ok(beside < 40 * 40_000 + (1 << 20), `${beside / 40_000} bytes per node`)
})

t.test('DG-10 appending a node does not cost more in a large room', async (t) => {
  const ids = spreadIds(64_000)
  const nodes = ids.map((id, i) => makeNode(i === 0 ? [] : [ids[i - 1]], { id }))
  const time = (count: number): number => Math.min(...[1, 2, 3].map(() => {
    const start = performance.now()
    grow(nodes.slice(0, count))
    return performance.now() - start
  }))
  time(8000)
  const [small, large] = [time(8000), time(64_000)]
  t.ok(large < 8 * 6 * small, `8,000 nodes ${small.toFixed(1)} ms, 64,000 nodes ${large.toFixed(1)} ms`)
})
