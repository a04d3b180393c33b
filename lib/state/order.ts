import { compareBytes } from '../protocol/bytes.js'

/** What decides between two writes of one slot (spec/wire-format.md §7), greatest lamport and author first. */
export interface Priority { lamport: number, author: Uint8Array, id: Uint8Array }

/**
 * Whether `a` takes the slot from `b`: the larger lamport, then the larger author, then the smaller node id, which only matters when
 * two replicas share a key (design §5, row 22). False for the same node: the first operation of a transaction wins.
 */
export function beats (a: Priority, b: Priority): boolean {
  if (a.lamport !== b.lamport) return a.lamport > b.lamport
  const authors = compareBytes(a.author, b.author)
  return authors === 0 ? compareBytes(a.id, b.id) < 0 : authors > 0
}

/** Lamport 0 by the zero author never wins anything; its map, list and blob operations do not count at all (§7). */
export function neverWins (p: Priority): boolean {
  return p.lamport === 0 && p.author.every((byte) => byte === 0)
}

/** A priority that may be kept: it holds no view of the bytes it came in. */
export function kept (p: Priority): Priority {
  return { lamport: p.lamport, author: p.author.slice(), id: p.id.slice() }
}

/** Order of strings by their UTF-8 bytes, which differs from JavaScript's where surrogates meet U+E000 to U+FFFF (§20). */
export function compareUtf8 (a: string, b: string): number {
  const shared = Math.min(a.length, b.length)
  for (let i = 0; i < shared; i++) {
    const left = a.charCodeAt(i)
    const right = b.charCodeAt(i)
    if (left !== right) return rank(left) - rank(right)
  }
  return a.length - b.length
}

/** Surrogates stand for scalars above the BMP. */
function rank (unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit
}
