import assert from 'node:assert/strict'
import t from 'tap'
import fc from 'fast-check'
import { nobleBlake3 } from '../../lib/protocol/blake3.js'
import { loadBlake3 } from '../../lib/protocol/blake3-wasm.js'
import { toHex } from '../../lib/protocol/hex.js'
import { type NodeView, idOf, parentOf } from '../../lib/protocol/node.js'
import { SLICE, cut } from '../../lib/dag/cut.js'
import { type Dag, createDag } from '../../lib/dag/dag.js'
import { IBF_KEYS, type Width, createFilter, createFilters, createIdHashes, encodeFilter, enterId } from '../../lib/dag/ibf.js'
import { createTrie } from '../../lib/dag/mst.js'
import { NONE, everything, rangesBuilder } from '../../lib/dag/ranges.js'
import { type Claim, type Reconciled, reconcile } from '../../lib/dag/reconcile.js'
import { only, without } from '../../lib/dag/select.js'
import {
  type Shape, ancestors, finish, grow, indices, leaves, makeNode, nodesOf, repeated, shapes, sortedHexes, spreadIds
} from './sample.js'

const blake3 = await loadBlake3(IBF_KEYS)
const hashes = createIdHashes(blake3)

function filterOf (ids: readonly Uint8Array[], width: Width = 'wide'): Uint8Array {
  const filter = createFilter()
  for (const id of ids) enterId(filter, hashes.measure(id), width, 1)
  return encodeFilter(filter)
}

const answer = (dag: Dag, claim: Claim): Reconciled => finish(reconcile({ dag, filters: createFilters(blake3) }, claim))
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)
const chain = (length: number): Shape => range(0, length).map((i) => i === 0 ? [] : [i - 1])

/** A DAG that counts how many nodes are looked at. */
function watched (dag: Dag): { dag: Dag, looked: () => number } {
  let looked = 0
  const counting: Dag = {
    ...dag,
    size: dag.size,
    parents: (index) => { looked++; return dag.parents(index) }
  }
  return { dag: counting, looked: () => looked }
}

/** A room's nodes, and a client that holds the ancestors of some of them and nodes of its own. */
const meetings = fc.tuple(shapes(60), fc.array(fc.nat(59), { maxLength: 4 }), fc.nat(3)).map(([shape, picks, own]) => {
  const nodes = nodesOf(shape)
  const shared = ancestors(shape, picks.filter((i) => i < shape.length))
  const sharedHeads = [...shared].filter((i) => !shape.some((parents, child) => shared.has(child) && parents.includes(i)))
  const mine: NodeView[] = []
  const tips = sharedHeads.map((i) => idOf(nodes[i]))
  for (let i = 0; i < own; i++) mine.push(makeNode(i === 0 ? tips.slice(0, 1) : [idOf(mine[i - 1])], { salt: 1e9 + i }))
  const heads = own === 0 ? tips : [...tips.slice(1), idOf(mine[own - 1])]
  const ids = [...[...shared].map((i) => idOf(nodes[i])), ...mine.map(idOf)]
  return { shape, nodes, shared, mine, heads, ids, lacking: range(0, shape.length).filter((i) => !shared.has(i)) }
})

t.test('RC-1 the cut is every node that is not an ancestor of a known head, parents first', async () => {
  fc.assert(fc.property(shapes(80), fc.array(fc.nat(100), { maxLength: 6 }), fc.nat(80), (shape, picks, size) => {
    const nodes = nodesOf(shape)
    const dag = grow(nodes)
    const within = Math.min(size, shape.length)
    const heads = picks.map((i) => i < shape.length ? idOf(nodes[i]) : repeated(i))
    const known = ancestors(shape, picks.filter((i) => i < within))
    const found = indices(finish(cut(dag, within, heads)))
    assert.deepEqual(found, range(0, within).filter((i) => !known.has(i)))
  }), { numRuns: 300 })
})

t.test('RC-1 a parent listed twice and several roots do not confuse the cut', async (t) => {
  const shape = [[], [0, 0], [], [1, 1, 2], [2, 2], [0]]
  const nodes = nodesOf(shape)
  const dag = grow(nodes)
  for (let mask = 0; mask < 1 << shape.length; mask++) {
    const picks = range(0, shape.length).filter((i) => (mask >> i & 1) === 1)
    const known = ancestors(shape, picks)
    t.same(indices(finish(cut(dag, shape.length, picks.map((i) => idOf(nodes[i]))))), range(0, shape.length).filter((i) => !known.has(i)))
  }
})

t.test('RC-2 a cut looks at what is missing, not at the history below', async (t) => {
  const side: Shape = [...chain(3000), [5], [2999, 3000]]
  const dag = grow(nodesOf(side))
  for (const [heads, missing, most] of [[[2990], 11, 14], [[3001], 0, 0], [[2999], 2, 3], [[2500, 3000], 500, 510]] as const) {
    const { dag: counting, looked } = watched(dag)
    const found = finish(cut(counting, dag.size, heads.map((i) => dag.id(i))))
    t.equal(found.count, missing)
    t.ok(looked() <= most, `${looked()} nodes for ${missing}`)
  }
})

t.test('RC-2 a cut of an earlier moment stops as early', async (t) => {
  const { dag: counting, looked } = watched(grow(nodesOf(chain(3000))))
  t.same([...finish(cut(counting, 2000, [counting.id(1989)]))], [[1990, 2000]])
  t.same([...finish(cut(counting, 2000, [counting.id(1999)]))], [])
  t.equal(looked(), 10)
})

t.test('RC-2 a client that knows nothing, or only roots, is answered without a walk', async (t) => {
  const dag = grow(nodesOf(chain(3000)))
  const { dag: counting, looked } = watched(dag)
  t.same([...finish(cut(counting, dag.size, []))], [[0, 3000]])
  t.same([...finish(cut(counting, dag.size, [repeated(1)]))], [[0, 3000]])
  t.same([...finish(cut(createDag(nobleBlake3), 0, [repeated(1)]))], [])
  t.equal(looked(), 0)
  const roots = grow([...nodesOf(chain(2000)), makeNode([], { salt: -1 >>> 0 }), ...nodesOf(chain(10), 7)])
  const watch = watched(roots)
  t.same([...finish(cut(watch.dag, roots.size, [roots.id(2000)]))], [[0, 2000], [2001, 2011]])
  t.ok(watch.looked() <= 11)
})

t.test('RC-3 a cut is taken in slices and stays that of its moment while the room grows', async (t) => {
  const nodes = nodesOf(chain(7001))
  const dag = grow(nodes.slice(0, 7000))
  let slices = 0
  const found = finish(cut(dag, 7000, [dag.id(100)]), () => {
    if (slices++ > 0) return
    dag.append(nodes[7000])
    for (let i = 0; i < 50; i++) dag.append(makeNode([dag.id(100 + i)], { salt: i }))
  })
  t.equal(slices, Math.floor(6899 / (SLICE - 1)))
  t.same([...found], [[101, 7000]])
})

t.test('RC-4 a client with the same root, and the same tree if it names one, gets nothing', async (t) => {
  const dag = grow(nodesOf([[], [0], [0]]))
  const trie = createTrie(dag, blake3)
  const filters = createFilters(blake3)
  const root = dag.root()
  const ask = (claim: Claim, withTrie = true): string =>
    finish(reconcile(withTrie ? { dag, filters, trie } : { dag, filters }, claim)).via
  t.equal(ask({ heads: [], root }), 'equal')
  t.equal(ask({ heads: [repeated(1)], root, mstRoot: trie.root() }), 'equal')
  t.equal(ask({ heads: [], root, mstRoot: repeated(1) }), 'frontier')
  t.equal(ask({ heads: [], root, mstRoot: repeated(1) }, false), 'equal')
  t.equal(ask({ heads: [], root: repeated(1), mstRoot: trie.root() }), 'frontier')
  t.equal(ask({ heads: [], root: null, mstRoot: null, filter: null, known: null }), 'frontier')
  t.equal(finish(reconcile({ dag, filters }, { heads: [], root })).missing.count, 0)
})

t.test('RC-4 a room that grows while the trees are compared is no longer equal', async (t) => {
  const ids = spreadIds(5001)
  const dag = grow(ids.slice(0, 5000).map((id) => makeNode([], { id })))
  const [root, mstRoot] = [dag.root(), createTrie(dag, blake3).root()]
  const late = makeNode([], { id: ids[5000] })
  const held = { dag, filters: createFilters(blake3), trie: createTrie(dag, blake3) }
  const found = finish(reconcile(held, { heads: ids.slice(0, 5000), root, mstRoot }), () => {
    if (dag.indexOf(ids[5000]) < 0) dag.append(late)
  })
  t.equal(found.via, 'frontier')
  t.same([...found.missing], [[5000, 5001]])
})

t.test('RC-5 a client whose heads are all held gets exactly what it lacks, whatever its filter says', async () => {
  fc.assert(fc.property(meetings.filter((m) => m.mine.length === 0 && m.heads.length > 0), ({ nodes, heads, lacking }) => {
    const dag = grow(nodes)
    const filters = createFilters(blake3)
    const found = finish(reconcile({ dag, filters }, { heads, filter: filterOf([]), known: [] }))
    assert.deepEqual(indices(found.missing), lacking)
    assert.equal(found.via, 'frontier')
    assert.equal(found.size, nodes.length)
    assert.deepEqual(found.wanted, [])
    assert.equal(filters.count, 0)
  }), { numRuns: 100 })
})

t.test('RC-6 a filter of either width gives the exact difference both ways', async (t) => {
  const read = { wide: 0, narrow: 0 }
  fc.assert(fc.property(meetings, fc.constantFrom('wide' as const, 'narrow' as const), ({ nodes, heads, ids, mine, lacking, shared }, width) => {
    const dag = grow(nodes)
    const found = answer(dag, { heads, filter: filterOf(ids, width) })
    const sent = indices(found.missing)
    for (const i of lacking) assert.ok(sent.includes(i), 'complete')
    if (found.via !== 'filter') return
    read[width]++
    assert.deepEqual(sent, lacking)
    assert.deepEqual(found.wanted.map(toHex), sortedHexes(mine.map(idOf)))
    assert.equal(shared.size + sent.length, nodes.length)
  }), { numRuns: 200 })
  t.ok(read.wide > 30 && read.narrow > 30, `${read.wide} and ${read.narrow} of 200 read off`)
})

t.test('RC-6 a filter is read at one moment of a room that grows', async (t) => {
  const nodes = nodesOf(chain(1300))
  const dag = grow(nodes.slice(0, 1200))
  const own = makeNode([dag.id(1190)], { salt: 5 })
  const ids = [...nodes.slice(0, 1191).map(idOf), idOf(own)]
  let at = 1200
  const found = finish(reconcile({ dag, filters: createFilters(blake3) }, { heads: [idOf(own)], filter: filterOf(ids) }), () => {
    dag.append(nodes[at++])
  })
  t.equal(found.via, 'filter')
  t.equal(found.size, 1202)
  t.same([...found.missing], [[1191, 1202]])
})

t.test('RC-7 a filter that contradicts the known heads is not believed', async (t) => {
  const nodes = nodesOf(chain(8))
  const dag = grow(nodes)
  const own = makeNode([], { salt: 3 })
  const heads = [idOf(nodes[5]), idOf(own)]
  const ids = [...nodes.slice(0, 6).map(idOf), idOf(own)]
  t.equal(answer(dag, { heads, filter: filterOf(ids) }).via, 'filter')
  const without2 = ids.filter((_, i) => i !== 2)
  const found = answer(dag, { heads, filter: filterOf(without2) })
  t.equal(found.via, 'frontier')
  t.same([...found.missing], [[6, 8]])
})

t.test('RC-8 a filter that cannot be read, or that differs too much, counts as none', async (t) => {
  const dag = grow(nodesOf(chain(8)))
  const heads = [repeated(1)]
  for (const filter of [new Uint8Array(0), new Uint8Array(2961), filterOf([]).subarray(0, 2960), filterOf(spreadIds(400))]) {
    const found = answer(dag, { heads, filter })
    t.equal(found.via, 'frontier')
    t.same([...found.missing], [[0, 8]])
    t.same(found.wanted, heads)
  }
  const broken = { dag, filters: { ...createFilters(blake3), get count (): number { throw new TypeError('broken') } } }
  t.throws(() => finish(reconcile(broken, { heads, filter: filterOf([]) })), TypeError)
  const fault = new Proxy(filterOf([]), { get (target, key) { if (key === 'length') throw new TypeError('broken'); return Reflect.get(target, key, target) } })
  t.throws(() => answer(dag, { heads, filter: fault }), { message: 'broken' })
})

t.test('RC-9 a list of known ids is subtracted together with what the heads imply', async () => {
  fc.assert(fc.property(meetings, fc.nat(60), ({ nodes, heads, ids, lacking, mine }, few) => {
    const dag = grow(nodes)
    const known = ids.slice(0, few)
    const found = answer(dag, { heads, known })
    const certain = new Set(indices(finish(cut(dag, dag.size, heads))))
    const listed = new Set(known.map(toHex))
    const expected = heads.length > 0 && mine.length === 0 ? lacking : [...certain].filter((i) => !listed.has(toHex(dag.id(i))))
    assert.deepEqual(indices(found.missing), expected)
    assert.deepEqual(found.wanted.map(toHex), [...new Set(sortedHexes([...heads, ...known].filter((id) => dag.indexOf(id) < 0)))])
  }), { numRuns: 150 })
})

t.test('RC-9 without a frontier a list counts, with its filter; a filter alone does not, for the client is empty', async (t) => {
  const nodes = nodesOf(chain(8))
  const dag = grow(nodes)
  const ids = nodes.slice(0, 5).map(idOf)
  const filter = filterOf(ids, 'narrow')
  for (const [claim, via, from] of [[{ known: ids }, 'known', 5], [{ known: ids, filter }, 'filter', 5], [{ known: [], filter }, 'frontier', 0]] as const) {
    const found = answer(dag, { heads: [], ...claim })
    t.equal(found.via, via)
    t.same([...found.missing], [[from, 8]])
  }
})

t.test('RC-10 a request is answered with every node not listed, mst-done with those listed', async () => {
  fc.assert(fc.property(fc.constantFrom(0, 1, 31, 32, 33, 64, 200), fc.array(fc.nat(219)), fc.boolean(), (size, picks, most) => {
    const ids = spreadIds(220)
    const dag = grow(ids.slice(0, size).map((id) => makeNode([], { id })))
    const listed = new Set(most ? range(0, 220).filter((i) => !picks.includes(i)) : picks)
    const list = [...listed, ...picks.slice(0, 3).filter((i) => listed.has(i))].map((i) => ids[i])
    assert.deepEqual(indices(finish(without(dag, list))), range(0, size).filter((i) => !listed.has(i)))
    assert.deepEqual(indices(finish(only(dag, list))), range(0, size).filter((i) => listed.has(i)))
  }), { numRuns: 200 })
})

t.test('RC-10 long lists are gone through in slices, and nodes that come meanwhile are left out', async (t) => {
  const ids = spreadIds(9002)
  const dag = grow(ids.slice(0, 9000).map((id) => makeNode([], { id })))
  const other = ids.filter((_, i) => i % 2 === 0)
  for (const [select, next, odd] of [[without, 9001, 1], [only, 9000, 0]] as const) {
    let slices = 0
    const found = finish(select(dag, other), () => {
      if (slices++ === 0) dag.append(makeNode([], { id: ids[next] }))
    })
    t.same(indices(found).slice(0, 4500), range(0, 4500).map((i) => 2 * i + odd))
    t.equal(found.count, 4500)
    t.equal(slices, 4)
  }
})

t.test('RC-11 ranges are ascending, coalesced and counted', async (t) => {
  const up = rangesBuilder()
  for (const [from, to] of [[1, 3], [3, 5], [6, 6], [8, 9]]) up.up(from, to)
  const down = rangesBuilder()
  for (const [from, to] of [[8, 9], [7, 7], [3, 5], [1, 3]]) down.down(from, to)
  for (const ranges of [up.build(), down.build()]) {
    t.same([...ranges], [[1, 5], [8, 9]])
    t.same([...ranges], [[1, 5], [8, 9]], 'more than once')
    t.equal(ranges.count, 5)
    for (const [from, to, inside] of [[1, 5, true], [2, 3, true], [8, 9, true], [0, 2, false], [4, 6, false], [5, 8, false], [8, 10, false], [9, 11, false], [6, 6, true]] as const) {
      t.equal(ranges.covers(from, to), inside, `[${from}, ${to})`)
    }
  }
  t.same([...everything(0), ...NONE, ...rangesBuilder().build()], [])
  t.same([...everything(4)], [[0, 4]])
})

t.test('RC-12 heads that are no longer leaves of the room, and unknown ones beside them, still cut', async (t) => {
  const shape: Shape = [[], [0], [1], [1], [2, 3], [4]]
  const nodes = nodesOf(shape)
  const dag = grow(nodes)
  t.same(leaves(shape), [5])
  const found = answer(dag, { heads: [idOf(nodes[2]), repeated(9)] })
  t.same([...found.missing], [[3, 6]])
  t.same(found.wanted, [repeated(9)])
  t.same(parentOf(dag.view(5), 0), idOf(nodes[4]))
})
