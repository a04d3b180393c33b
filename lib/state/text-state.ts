import type { Authors } from './authors.js'
import { createSequence, type Sequence } from './sequence.js'
import { createEffects, type Effects } from './text-effects.js'
import { createTextIds, type TextIds } from './text-ids.js'
import { createRecords, type Records } from './text-records.js'

/** Everything one text is made of. Applying a record and undoing it take it from one canonical prefix
 * to the next and back. */
export interface TextState {
  authors: Authors
  records: Records
  sequence: Sequence
  ids: TextIds
  effects: Effects
  /** Slots that wait for a predecessor, by its author and lamport (§9.1). */
  waiting: Map<number, Map<number, number[]>>
  /** Lamports deleted before their character arrived, by author. */
  pending: Map<number, Set<number>>
  /** No id has a greater lamport; it may be greater than all of them. */
  ceiling: number
}

export function createTextState (authors: Authors): TextState {
  return {
    authors,
    records: createRecords(),
    sequence: createSequence(),
    ids: createTextIds(),
    effects: createEffects(),
    waiting: new Map(),
    pending: new Map(),
    ceiling: -1
  }
}

/** Lamport of the id that a record gives to one of its slots. */
export function idAt (t: TextState, record: number, slot: number): number {
  return t.records.lamport[record] + slot - t.records.slot[record]
}

/** The id a waiting character comes after: its anchor, or for the rest of a range the character before it. */
export function predecessor (t: TextState, record: number, slot: number): { author: number, lamport: number } {
  const r = t.records
  if (slot === r.slot[record]) return { author: r.anchorAuthor[record], lamport: r.anchorLamport[record] }
  return { author: r.author[record], lamport: idAt(t, record, slot) - 1 }
}

export function addWaiting (t: TextState, author: number, lamport: number, slot: number): void {
  let own = t.waiting.get(author)
  if (own === undefined) t.waiting.set(author, own = new Map())
  const slots = own.get(lamport)
  if (slots === undefined) own.set(lamport, [slot])
  else slots.push(slot)
}

/** Takes all slots that wait for an id. */
export function takeWaiting (t: TextState, author: number, lamport: number): number[] {
  const own = t.waiting.get(author)
  const slots = own?.get(lamport)
  if (own === undefined || slots === undefined) return []
  own.delete(lamport)
  if (own.size === 0) t.waiting.delete(author)
  return slots
}

/** Takes back the slot that came last under an id. */
export function dropWaiting (t: TextState, author: number, lamport: number): void {
  const slots = t.waiting.get(author)?.get(lamport)
  slots?.pop()
  if (slots?.length === 0) takeWaiting(t, author, lamport)
}

/** Notes a delete whose character is not there yet; false when one was noted already. */
export function addPending (t: TextState, author: number, lamport: number): boolean {
  let own = t.pending.get(author)
  if (own === undefined) t.pending.set(author, own = new Set())
  if (own.has(lamport)) return false
  own.add(lamport)
  return true
}

/** Whether a delete was noted for an id; it is not any more. */
export function takePending (t: TextState, author: number, lamport: number): boolean {
  const own = t.pending.get(author)
  if (own === undefined || !own.delete(lamport)) return false
  if (own.size === 0) t.pending.delete(author)
  return true
}
