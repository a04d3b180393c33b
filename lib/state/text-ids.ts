import { grown } from './columns.js'

/**
 * Which slot carries which id. Per author a stack of ranges, ascending by lamport: in canonical order an author's new ids always
 * lie above all it has, and undoing takes them off again in reverse.
 */
export interface TextIds { byAuthor: (AuthorIds | undefined)[] }

interface AuthorIds {
  used: number
  lamport: Float64Array
  slot: Uint32Array
  length: Uint32Array
}

export function createTextIds (): TextIds {
  return { byAuthor: [] }
}

/** The greatest lamport among an author's ids, or -1. */
export function lastLamport (ids: TextIds, author: number): number {
  const own = ids.byAuthor[author]
  if (own === undefined || own.used === 0) return -1
  return own.lamport[own.used - 1] + own.length[own.used - 1] - 1
}

/** Slot of an id, or -1. */
export function slotOf (ids: TextIds, author: number, lamport: number): number {
  const own = ids.byAuthor[author]
  if (own === undefined || own.used === 0) return -1
  let low = 0
  let high = own.used - 1
  if (lamport >= own.lamport[high]) low = high
  while (low < high) {
    const middle = low + high + 1 >>> 1
    if (own.lamport[middle] <= lamport) low = middle
    else high = middle - 1
  }
  const distance = lamport - own.lamport[low]
  return distance >= 0 && distance < own.length[low] ? own.slot[low] + distance : -1
}

/** Gives `n` ids from `lamport` to the slots from `slot`. They must lie above the author's other ids. */
export function pushIds (ids: TextIds, author: number, lamport: number, slot: number, n: number): void {
  const own = ids.byAuthor[author] ??= { used: 0, lamport: new Float64Array(4), slot: new Uint32Array(4), length: new Uint32Array(4) }
  const top = own.used - 1
  if (top >= 0 && own.lamport[top] + own.length[top] === lamport && own.slot[top] + own.length[top] === slot) {
    own.length[top] += n
    return
  }
  if (own.used === own.slot.length) {
    own.lamport = grown(own.lamport, own.used + 1)
    own.slot = grown(own.slot, own.used + 1)
    own.length = grown(own.length, own.used + 1)
  }
  own.lamport[own.used] = lamport
  own.slot[own.used] = slot
  own.length[own.used++] = n
}

/** Takes back the ids of slots in `from .. end` when they are the author's latest. */
export function popIds (ids: TextIds, author: number, from: number, end: number): void {
  const own = ids.byAuthor[author]
  if (own === undefined || own.used === 0) return
  const top = own.used - 1
  const last = own.slot[top] + own.length[top]
  if (last <= from || last > end) return
  own.length[top] = Math.max(0, from - own.slot[top])
  if (own.length[top] === 0) own.used--
}

/** The greatest lamport of all ids, or -1. */
export function greatestLamport (ids: TextIds): number {
  let greatest = -1
  for (let author = 0; author < ids.byAuthor.length; author++) greatest = Math.max(greatest, lastLamport(ids, author))
  return greatest
}
