import type { Dag } from './dag.js'
import { type Ranges, everything, rangesBuilder } from './ranges.js'

/** Ids looked up, or ranges found, between two yields. */
const SLICE = 2048

/**
 * Every node of `[0, dag.size)` whose id is not in `ids`: the answer to a `request` (spec/session-protocol.md §2.4). A plain set
 * difference, whatever the ids imply about their ancestors. Sliced; nodes that come meanwhile are not in it.
 */
export function without (dag: Dag, ids: Iterable<Uint8Array>): Generator<void, Ranges> {
  return subtractIds(dag, everything(dag.size), dag.size, ids)
}

/** The nodes of `ranges`, all below `size`, whose ids are not in `ids`. */
export function * subtractIds (dag: Dag, ranges: Ranges, size: number, ids: Iterable<Uint8Array>): Generator<void, Ranges> {
  const marks = yield * markIds(dag, size, ids)
  const rest = rangesBuilder()
  let left = SLICE
  for (const [from, to] of ranges) {
    for (let at = from; at < to;) {
      const marked = nextMark(marks, at, to, 1)
      rest.up(at, marked)
      at = nextMark(marks, marked, to, 0)
      if (--left > 0) continue
      yield
      left = SLICE
    }
  }
  return rest.build()
}

/** Those nodes whose ids are in `ids`: the answer to `mst-done` (spec/session-protocol.md §2.6). Sliced. */
export function * only (dag: Dag, ids: Iterable<Uint8Array>): Generator<void, Ranges> {
  const size = dag.size
  const marks = yield * markIds(dag, size, ids)
  const held = rangesBuilder()
  let left = SLICE
  for (let at = 0; at < size;) {
    const marked = nextMark(marks, at, size, 1)
    at = nextMark(marks, marked, size, 0)
    held.up(marked, at)
    if (--left > 0) continue
    yield
    left = SLICE
  }
  return held.build()
}

/** One bit per node: bounded by what the room holds, however long the list is. Nodes that came since fall outside. */
function * markIds (dag: Dag, size: number, ids: Iterable<Uint8Array>): Generator<void, Uint32Array> {
  const marks = new Uint32Array((size + 31) >>> 5)
  let left = SLICE
  for (const id of ids) {
    const index = dag.indexOf(id)
    if (index >= 0) marks[index >>> 5] |= 1 << (index & 31)
    if (--left > 0) continue
    yield
    left = SLICE
  }
  return marks
}

/** The first index in `[at, to)` whose mark is `bit`, else `to`; words without one are passed over at once. */
function nextMark (marks: Uint32Array, at: number, to: number, bit: 0 | 1): number {
  for (let i = at; i < to; i = (i | 31) + 1) {
    const word = (bit === 1 ? marks[i >>> 5] : ~marks[i >>> 5]) >>> (i & 31)
    if (word !== 0) return Math.min(to, i + lowestBit(word))
  }
  return to
}

function lowestBit (word: number): number {
  return 31 - Math.clz32(word & -word)
}
