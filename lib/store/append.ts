import { NodalmergeError } from '../errors.js'
import { ID_LENGTH, MIN_NODE_LENGTH } from '../protocol/node.js'
import type { Append } from './node-store.js'
import { checkRoom } from './room-id.js'

/** Refuses what no adapter could store. Throws TypeError or RangeError. */
export function checkAppend (append: Append): void {
  checkRoom(append.room)
  checkAfter(append.after)
  if (!Array.isArray(append.nodes)) throw new TypeError('nodes is an array')
  for (const node of append.nodes) {
    if (!(node instanceof Uint8Array)) throw new TypeError('a node is a Uint8Array')
    if (node.length < MIN_NODE_LENGTH) throw new RangeError(`a node has at least ${MIN_NODE_LENGTH} bytes`)
  }
}

/** Refuses what is not a seq. Throws TypeError or RangeError. */
export function checkAfter (after: number): void {
  if (typeof after !== 'number') throw new TypeError('a seq is a number')
  if (!Number.isSafeInteger(after) || after < 0) throw new RangeError('a seq is a non-negative safe integer')
}

/** A caller that has seen more than is stored met a store that lost something; appending would leave a gap in its history. */
export function checkSeen (append: Append, last: number): void {
  if (append.after <= last) return
  const text = `room ${JSON.stringify(append.room)} ends at ${last} but its caller has seen ${append.after}: the store lost nodes`
  throw new NodalmergeError('store.failed', text)
}

/** Finds which nodes of an append are stored already; only needed when the room has moved on since the caller looked. */
export interface Sieve {
  /** Tells the sieve of a stored node. */
  stored (node: Uint8Array): void
  /** Positions of the nodes that were not among the stored ones, in order. */
  kept (): number[]
}

/** Holds no more than the ids of `nodes`, however many stored ones it is shown. */
export function sieve (nodes: readonly Uint8Array[]): Sieve {
  const ids = nodes.map(idText)
  const wanted = new Set(ids)
  return {
    stored: (node) => { wanted.delete(idText(node)) },
    kept: () => positions(nodes).filter((i) => wanted.has(ids[i]))
  }
}

export function positions (nodes: readonly Uint8Array[]): number[] {
  return Array.from(nodes.keys())
}

function idText (node: Uint8Array): string {
  return String.fromCharCode(...node.subarray(0, ID_LENGTH))
}
