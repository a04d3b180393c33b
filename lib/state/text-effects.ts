import { grown } from './columns.js'

/**
 * What every applied operation did, in the order it was done, so that it can be undone. One number pair per effect: a slot and
 * `length * 8 + EFFECT`.
 */
export interface Effects {
  used: number
  slot: Uint32Array
  what: Float64Array
}

export const EFFECT = {
  /** `length` slots entered the sequence. */
  placed: 0,
  /** `length` visible slots became hidden. */
  hidden: 1,
  /** A character waits for its predecessor. */
  waiting: 2,
  /** A character that waited entered the sequence. */
  released: 3,
  /** A delete waits for its character; the id is the operation's own target. */
  pending: 4,
  /** A character arrived hidden because a delete waited for it; precedes its `placed` or `released`. */
  hiddenAtBirth: 5
} as const

export function createEffects (): Effects {
  return { used: 0, slot: new Uint32Array(16), what: new Float64Array(16) }
}

export function addEffect (e: Effects, kind: number, slot: number, length: number): void {
  if (e.used === e.slot.length) {
    e.slot = grown(e.slot, e.used + 1)
    e.what = grown(e.what, e.used + 1)
  }
  e.slot[e.used] = slot
  e.what[e.used++] = length * 8 + kind
}
