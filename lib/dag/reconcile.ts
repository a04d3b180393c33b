import { NodalmergeError } from '../errors.js'
import { equalBytes, sortedIds } from '../protocol/bytes.js'
import { cut } from './cut.js'
import type { Dag } from './dag.js'
import { type Difference, peelByMembership } from './ibf-peel.js'
import { type Filter, type Filters, decodeFilter, feedFilters, subtract } from './ibf.js'
import type { Trie } from './mst.js'
import { NONE, type Ranges } from './ranges.js'
import { only, subtractIds } from './select.js'

/** What a client says it holds (spec/session-protocol.md §1.3). */
export interface Claim {
  /** Its frontier. */
  heads: readonly Uint8Array[]
  root?: Uint8Array | null | undefined
  mstRoot?: Uint8Array | null | undefined
  /** Its filter as received, when filters were negotiated. One that cannot be read counts as none (§1.8). */
  filter?: Uint8Array | null | undefined
  /** All ids it holds. */
  known?: readonly Uint8Array[] | null | undefined
}

/** What the server holds. Without a trie the client's `mstRoot` is not compared. */
export interface Held { dag: Dag, filters: Filters, trie?: Trie | undefined }

export interface Reconciled {
  /** What the answer rests on. */
  via: 'equal' | 'frontier' | 'filter' | 'known'
  /** The answer speaks of the nodes `[0, size)`; what came later is the relay's. */
  size: number
  /** What the client lacks, parents first. Complete, but not always minimal. */
  missing: Ranges
  /** Ids the client holds and the server does not, as far as they are known: all of them when `via` is `filter`. Ascending. */
  wanted: Uint8Array[]
}

/**
 * Computes the difference of a handshake by the REC algorithm of spec/session-protocol.md §1.8. Sliced: the caller resumes it between
 * other work and the DAG may grow meanwhile. A client all of whose heads are held is answered from its frontier alone, which is exact.
 */
export function * reconcile (held: Held, claim: Claim): Generator<void, Reconciled> {
  const { dag } = held
  if (yield * equal(held, claim)) return { via: 'equal', size: dag.size, missing: NONE, wanted: [] }
  const exact = claim.heads.every((head) => dag.indexOf(head) >= 0) && (claim.heads.length > 0 || !claim.known?.length)
  const difference = exact ? null : yield * readOff(held, claim)
  const size = dag.size
  const missing = yield * cut(dag, size, claim.heads)
  if (difference !== null) {
    const accepted: Ranges | null = yield * within(dag, difference.onlySelf, missing)
    if (accepted !== null) return { via: 'filter', size, missing: accepted, wanted: sortedIds(difference.onlyOther) }
  }
  const known = claim.known ?? []
  const wanted = sortedIds([...claim.heads, ...known].filter((id) => dag.indexOf(id) < 0))
  if (exact || known.length === 0) return { via: 'frontier', size, missing, wanted }
  return { via: 'known', size, missing: yield * subtractIds(dag, missing, size, known), wanted }
}

/** Step 1: equal roots mean equal histories. Nodes that come while the tree is hashed change its root too. */
function * equal (held: Held, claim: Claim): Generator<void, boolean> {
  if (claim.root == null || !equalBytes(claim.root, held.dag.root())) return false
  if (claim.mstRoot == null || held.trie === undefined) return true
  const mstRoot = yield * held.trie.settle()
  return equalBytes(claim.mstRoot, mstRoot)
}

/** Step 3: the difference of the filters, if either width gives one that does not contradict what is held. Not interrupted once read. */
function * readOff (held: Held, claim: Claim): Generator<void, Difference | null> {
  const theirs = claim.filter == null ? null : readable(claim.filter)
  if (theirs === null) return null
  yield * feedFilters(held.filters, held.dag)
  const { dag, filters } = held
  const holds = (id: Uint8Array): boolean => dag.indexOf(id) >= 0
  for (const width of ['wide', 'narrow'] as const) {
    const difference = peelByMembership(subtract(filters[width], theirs), width, filters.hashes, holds)
    if (difference !== null) return difference
  }
  return null
}

function readable (bytes: Uint8Array): Filter | null {
  try {
    return decodeFilter(bytes)
  } catch (error) {
    if (error instanceof NodalmergeError) return null
    throw error
  }
}

/** The nodes of `ids`, or null unless every one of them is in `missing`, that is, not certainly held by the client. */
function * within (dag: Dag, ids: readonly Uint8Array[], missing: Ranges): Generator<void, Ranges | null> {
  const nodes = yield * only(dag, ids)
  for (const [from, to] of nodes) if (!missing.covers(from, to)) return null
  return nodes
}
