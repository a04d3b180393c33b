import type { Dag } from './dag.js'
import { type Ranges, everything, rangesBuilder } from './ranges.js'

/** Nodes looked at between two yields of the functions that walk: well below a millisecond of work. */
export const SLICE = 2000

/**
 * The nodes of `[0, size)` that are not an ancestor-or-self of a head in `heads`; heads that are not held count for nothing
 * (spec/session-protocol.md §1.8, steps 2 and 4). Yields every `SLICE` nodes so that the caller can let others run; the DAG may grow
 * meanwhile, the answer stays that of `[0, size)`.
 *
 * The history is taken apart from its end. The node `i` is always a leaf of the prefix `[0 .. i]`; as soon as every leaf of the
 * prefix is known, all of it is, and what lies below is never touched. `width` tells the number of the prefix's leaves, `firstChild`
 * when a node ceased to be one.
 */
export function * cut (dag: Dag, size: number, heads: readonly Uint8Array[]): Generator<void, Ranges> {
  const known = new Set<number>()
  for (const head of heads) {
    const index = dag.indexOf(head)
    if (index >= 0 && index < size) known.add(index)
  }
  if (known.size === 0) return everything(size)
  const missing = rangesBuilder()
  let knownLeaves = 0
  for (const index of known) if (isLeaf(dag, index, size)) knownLeaves++
  let i = size - 1
  for (let left = SLICE; known.size > 0 && knownLeaves < dag.width(i); i--) {
    if (--left === 0) {
      yield
      left = SLICE
    }
    const parents = dag.parents(i)
    if (known.delete(i)) {
      knownLeaves--
      for (const parent of parents) known.add(parent)
    } else {
      missing.down(i, i + 1)
    }
    for (const parent of parents) if (dag.firstChild(parent) === i && known.has(parent)) knownLeaves++
  }
  if (known.size === 0) missing.down(0, i + 1)
  return missing.build()
}

function isLeaf (dag: Dag, index: number, size: number): boolean {
  const child = dag.firstChild(index)
  return child < 0 || child >= size
}
