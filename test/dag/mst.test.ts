import assert from 'node:assert/strict'
import t from 'tap'
import fc from 'fast-check'
import { type Blake3, nobleBlake3 } from '../../lib/protocol/blake3.js'
import { loadBlake3 } from '../../lib/protocol/blake3-wasm.js'
import { toHex } from '../../lib/protocol/hex.js'
import { createDag } from '../../lib/dag/dag.js'
import { trieDifference } from '../../lib/dag/mst-difference.js'
import { MST_KEYS, createTrieHashes, setHash, split } from '../../lib/dag/mst-hash.js'
import { MAX_TRIE_PATHS, type Trie, type TrieNode, createTrie } from '../../lib/dag/mst.js'
import { dagOf, finish, hex, hexes, makeNode, repeated, sortedHexes, spreadIds, vectors } from './sample.js'

const blake3 = await loadBlake3(MST_KEYS)
const hashes = createTrieHashes(blake3)
const ZEROS = vectors.reference.mst.empty_root_hex

/** The whole tree built from scratch, by path. */
function build (ids: readonly Uint8Array[], path = '', nodes = new Map<string, TrieNode>()): Map<string, TrieNode> {
  const hash = setHash(ids, path.length, hashes)
  if (hash === null) return nodes
  const node: TrieNode = { path, hash: toHex(hash), children: {}, keys: ids.length === 1 ? hexes(ids) : [] }
  nodes.set(path, node)
  if (ids.length === 1) return nodes
  split(ids, path.length).forEach((part, digit) => {
    const below = path + digit.toString(16)
    build(part, below, nodes)
    const child = nodes.get(below)
    if (child !== undefined) node.children[digit.toString(16)] = child.hash
  })
  return nodes
}

const inOrder = (count: number): Uint8Array[] => Array.from({ length: count }, (_, i) => hex(i.toString(16).padStart(4, '0').padEnd(64, '0')))

t.test('MS-1 roots and nodes are those of the vectors', async (t) => {
  const unlisted: Record<number, Uint8Array[]> = { 4: Array.from({ length: 50 }, (_, i) => repeated(i)), 5: inOrder(1000) }
  vectors.derived.mst.forEach((vector: { name: string, ids_hex?: string[], root_hex: string, node_count: number, nodes?: Record<string, object> }, i: number) => {
    const ids = vector.ids_hex?.map(hex) ?? unlisted[i]
    const trie = createTrie(dagOf(ids), nobleBlake3)
    t.equal(toHex(trie.root()), vector.root_hex, vector.name)
    t.equal(build(ids).size, vector.node_count, vector.name)
    t.same(trie.nodes([...build(ids).keys()]), [...build(ids).values()], vector.name)
    for (const [path, node] of Object.entries(vector.nodes ?? {})) t.same(trie.nodes([path]), [{ path, ...node }], `${vector.name} ${path}`)
  })
  t.equal(toHex(createTrie(createDag(nobleBlake3), nobleBlake3).root()), ZEROS)
  t.same(createTrie(createDag(nobleBlake3), nobleBlake3).nodes(['', '0']), [])
})

t.test('MS-2 a tree that grew equals one built from scratch, at every path', async () => {
  const id = fc.oneof(
    fc.uint8Array({ minLength: 32, maxLength: 32 }),
    fc.tuple(fc.constantFrom(3, 17, 31), fc.nat(255)).map(([at, byte]) => repeated(0x5a).fill(byte, at)),
    fc.nat(0xffff).map((n) => hex(n.toString(16).padStart(4, '0').padEnd(64, '7')))
  )
  fc.assert(fc.property(fc.uniqueArray(id, { maxLength: 200, selector: toHex }), fc.nat(5), (ids, step) => {
    const dag = createDag(nobleBlake3)
    const trie = createTrie(dag, blake3)
    ids.forEach((each, i) => {
      dag.append(makeNode([], { id: each }))
      if (i % (10 * step + 1) === 0) assert.equal(toHex(trie.root()), build(ids.slice(0, i + 1)).get('')?.hash)
    })
    const whole = build(ids)
    assert.equal(toHex(trie.root()), whole.get('')?.hash ?? ZEROS)
    assert.deepEqual(trie.nodes([...whole.keys()]), [...whole.values()])
  }), { numRuns: 40 })
})

t.test('MS-2 kept levels with one id or none below a path hash as if they were not kept', async (t) => {
  const ids = spreadIds(2500).map((id, i) => i === 7 ? id.fill(0x20, 0, 1) : id.fill(0xa0 | id[0] & 1, 0, 1))
  const trie = createTrie(dagOf(ids), blake3)
  const whole = build(ids)
  t.same(trie.nodes(['', '2', '20', 'a', 'b', 'a0', 'a1', 'a2']), ['', '2', 'a', 'a0', 'a1'].map((path) => whole.get(path)))
  t.equal(whole.get('2')?.keys.length, 1)
})

t.test('MS-3 paths are echoed and answered in order; those without a node are left out', async (t) => {
  const ids = [...spreadIds(40), repeated(0xab)]
  const trie = createTrie(dagOf(ids), blake3)
  const leaf = [...build(ids).values()].find((node) => node.keys[0] === 'ab'.repeat(32))?.path ?? ''
  t.equal(leaf.length, 2)
  const asked = ['AB', '', leaf + 'a', leaf + leaf, 'ab'.repeat(32), 'g', 'x'.repeat(64), '0'.repeat(65), '-', ' ', 'a\n', '+1', 'AB', 'b'.repeat(40)]
  const answer = trie.nodes(asked)
  t.same(answer.map((node) => node.path), ['AB', '', 'AB'])
  t.same(answer[0], { ...build(ids).get('ab'), path: 'AB' })
  t.equal(trie.hash('zz'), null)
  t.equal(trie.hash('ab'.repeat(33)), null)
})

t.test('MS-3 ids that differ in their last digit only have a node at every path', async (t) => {
  const ids = ['0', '1', '2'].map((last) => hex('c'.repeat(63) + last))
  const trie = createTrie(dagOf(ids), blake3)
  t.equal(build(ids).size, 67)
  t.same(trie.nodes([...build(ids).keys()]), [...build(ids).values()])
})

t.test('MS-4 the descent finds the exact difference, whatever either side lacks', async () => {
  fc.assert(fc.property(fc.nat(60), fc.nat(60), fc.constantFrom(0, 1, 2, 50, 1000), fc.nat(1e6), (a, b, shared, seed) => {
    const ids = spreadIds(a + b + shared, seed)
    const [mine, theirs] = [[...ids.slice(0, a), ...ids.slice(a + b)], ids.slice(a)]
    const [here, there] = [mine, theirs].map((side) => {
      const dag = dagOf(side)
      return { dag, trie: createTrie(dag, blake3) }
    })
    const found = descend(trieDifference(here.dag, here.trie), there.trie)
    assert.deepEqual(found, { onlyLocal: sortedHexes(ids.slice(0, a)), onlyRemote: sortedHexes(ids.slice(a, a + b)) })
  }), { numRuns: 60 })
})

function descend<T> (steps: Generator<string[], T, readonly TrieNode[]>, remote: Pick<Trie, 'nodes'>): T {
  let step = steps.next()
  while (step.done !== true) step = steps.next(remote.nodes(step.value))
  return step.value
}

t.test('MS-4 equal sides, and empty ones, are told in one round', async (t) => {
  const ids = spreadIds(30)
  for (const [mine, theirs] of [[ids, ids], [[], []], [ids, []], [[], ids.slice(0, 1)]]) {
    const dag = dagOf(mine)
    const remote = createTrie(dagOf(theirs), blake3)
    let rounds = 0
    const found = descend(trieDifference(dag, createTrie(dag, blake3)), { nodes: (paths) => { rounds++; return remote.nodes(paths) } })
    t.same(found, mine === theirs ? { onlyLocal: [], onlyRemote: [] } : { onlyLocal: sortedHexes(mine), onlyRemote: sortedHexes(theirs) })
    t.equal(rounds, 1)
  }
})

t.test('MS-4 a round is asked for in pieces that the other side answers in full', async (t) => {
  const [mine, theirs] = [spreadIds(100, 1), spreadIds(20_000, 2)]
  const dag = dagOf(mine)
  const remote = createTrie(dagOf(theirs), blake3)
  let most = 0
  const found = descend(trieDifference(dag, createTrie(dag, blake3)), {
    nodes: (paths) => {
      most = Math.max(most, paths.length)
      return remote.nodes(paths)
    }
  })
  t.equal(most, MAX_TRIE_PATHS)
  t.strictSame(found, { onlyLocal: sortedHexes(mine), onlyRemote: sortedHexes(theirs) })
})

t.test('MS-4 a false answer ends the descent too', async (t) => {
  const dag = dagOf(spreadIds(10))
  const liar = (paths: readonly string[]): TrieNode[] => paths.map((path) =>
    ({ path, hash: 'f'.repeat(64), children: { 1: 'e'.repeat(64), zz: 'e'.repeat(64) }, keys: [] }))
  let rounds = 0
  const found = descend(trieDifference(dag, createTrie(dag, blake3)), { nodes: (paths) => { rounds++; return liar(paths) } })
  t.equal(rounds, 65)
  t.same(found.onlyRemote, [])
  const keys = ['no id', toHex(spreadIds(1)[0]), 'AA'.repeat(32)]
  const other = descend(trieDifference(dag, createTrie(dag, blake3)), { nodes: () => [{ path: '', hash: '', children: {}, keys }] })
  t.same(other.onlyRemote, ['aa'.repeat(32)])
  t.equal(other.onlyLocal.length, 9)
})

function counting (): { blake3: Blake3, count: () => number } {
  let count = 0
  return {
    count: () => { const so = count; count = 0; return so },
    blake3: {
      hash: blake3.hash,
      keyed: (key) => {
        const hash = blake3.keyed(key)
        return (data) => { count++; return hash(data) }
      }
    }
  }
}

t.test('MS-5 after one new node a root costs as much in a large room as in a small one', async (t) => {
  const ids = spreadIds(40_000)
  const costs = [500, 5000, 40_000].map((size) => {
    const hashing = counting()
    const dag = dagOf(ids.slice(0, size - 20))
    const trie = createTrie(dag, hashing.blake3)
    trie.root()
    const first = hashing.count()
    t.ok(first > size && first < 1.5 * size, `${first} hashes for ${size} ids`)
    trie.root()
    t.equal(hashing.count(), 0)
    for (const id of ids.slice(size - 20, size)) {
      dag.append(makeNode([], { id }))
      trie.root()
    }
    return hashing.count() / 20
  })
  for (const cost of costs) t.ok(cost < 200, `${cost} hashes`)
})

t.test('MS-6 a large tree settles in slices, also while nodes arrive', async (t) => {
  const ids = spreadIds(9000)
  const dag = dagOf(ids.slice(0, 8990))
  const hashing = counting()
  const trie = createTrie(dag, hashing.blake3)
  let arrived = 8990
  let slices = 0
  const root = finish(trie.settle(), () => {
    t.ok(hashing.count() < 3000)
    slices++
    if (arrived < 9000) dag.append(makeNode([], { id: ids[arrived++] }))
  })
  t.equal(slices, 16)
  t.equal(arrived, 9000)
  t.equal(toHex(root), build(ids).get('')?.hash)
  finish(trie.settle(), () => t.fail('nothing left to do'))
  root.fill(0)
  t.equal(toHex(trie.root()), build(ids).get('')?.hash, 'the answer is the caller\'s own')
})

t.test('MS-7 a request is answered in slices and up to a number of paths', async (t) => {
  const trie = createTrie(dagOf(spreadIds(20)), blake3)
  let slices = 0
  t.equal(finish(trie.answer(Array.from({ length: MAX_TRIE_PATHS + 5 }, () => '')), () => { slices++ }).length, MAX_TRIE_PATHS)
  t.ok(slices > 100)
})
