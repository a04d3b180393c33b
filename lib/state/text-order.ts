import { internAuthor } from './authors.js'
import { grown } from './columns.js'
import { NOWHERE } from './sequence.js'
import { applyRecord } from './text-apply.js'
import { greatestLamport } from './text-ids.js'
import { MORE, type NodeKey, addRecord, compareKey, compareRecords } from './text-records.js'
import type { TextState } from './text-state.js'
import { undoRecord } from './text-undo.js'
import type { TextOp } from '../protocol/op.js'

/**
 * The records in canonical order and how far they are applied: always all of `order`. What came out of order waits in `late`, what is
 * to be taken out in `gone`, until `catchUp` rewinds once for all of them.
 */
export interface TextOrder {
  state: TextState
  applied: number
  order: Uint32Array
  /** Where the effects of each applied record start. */
  starts: Uint32Array
  /** First records of the nodes that wait. */
  late: number[]
  /** First records of the applied nodes that are to be taken out. */
  gone: Set<number>
}

export function createTextOrder (state: TextState): TextOrder {
  return { state, applied: 0, order: new Uint32Array(16), starts: new Uint32Array(16), late: [], gone: new Set() }
}

/** Takes in the operations of one node on this text. A node that is known already stays as it is. */
export function takeIn (o: TextOrder, node: NodeKey, ops: readonly TextOp[]): void {
  if (ops.length === 0) return
  const t = o.state
  const author = internAuthor(t.authors, node.author)
  const first = t.records.used
  const place = compareToLast(o, node, author)
  if (place <= 0) {
    const known = knownRecord(o, node, author)
    if (known !== NOWHERE) { o.gone.delete(known); return }
  }
  for (let i = 0; i < ops.length; i++) {
    const record = addRecord(t.records, t.sequence, t.authors, node, author, ops[i], i > 0)
    if (place > 0 && o.late.length === 0) push(o, record)
  }
  if (place < 0 || o.late.length > 0) o.late.push(first)
}

function compareToLast (o: TextOrder, node: NodeKey, author: number): number {
  if (o.applied === 0) return 1
  const t = o.state
  return compareKey(t.records, t.authors, node.lamport, author, node.id, 0, o.order[o.applied - 1])
}

/** Takes out a node. Its records stay where they lie, without a place in the order. */
export function takeOut (o: TextOrder, node: NodeKey): void {
  const { records, authors } = o.state
  const author = internAuthor(authors, node.author)
  const late = o.late.filter((record) => compareKey(records, authors, node.lamport, author, node.id, 0, record) !== 0)
  const known = late.length === o.late.length ? knownRecord(o, node, author) : NOWHERE
  o.late = late
  if (known !== NOWHERE) o.gone.add(known)
}

/** The first record of an applied node, or NOWHERE. */
function knownRecord (o: TextOrder, node: NodeKey, author: number): number {
  const { records, authors } = o.state
  const at = firstNotBelow(o, (record) => compareKey(records, authors, node.lamport, author, node.id, 0, record) > 0)
  if (at === o.applied || compareKey(records, authors, node.lamport, author, node.id, 0, o.order[at]) !== 0) return NOWHERE
  return o.order[at]
}

/** The first applied position whose record is not `above` by the test, which holds for a prefix. */
function firstNotBelow (o: TextOrder, above: (record: number) => boolean): number {
  let low = 0
  let high = o.applied
  while (low < high) {
    const middle = low + high >>> 1
    if (above(o.order[middle])) low = middle + 1
    else high = middle
  }
  return low
}

function push (o: TextOrder, record: number): void {
  if (o.applied === o.order.length) {
    o.order = grown(o.order, o.applied + 1)
    o.starts = grown(o.starts, o.applied + 1)
  }
  o.order[o.applied] = record
  o.starts[o.applied++] = o.state.effects.used
  applyRecord(o.state, record)
}

/** Undoes everything from a position on; returns those records in canonical order. */
export function rewind (o: TextOrder, to: number): Uint32Array {
  const t = o.state
  const tail = o.order.slice(to, o.applied)
  while (o.applied > to) {
    o.applied--
    undoRecord(t, o.order[o.applied], o.starts[o.applied])
  }
  t.ceiling = greatestLamport(t.ids)
  return tail
}

/** How many applied records belong to nodes with at most this lamport: a prefix of the canonical order. */
export function upTo (o: TextOrder, lamport: number): number {
  return firstNotBelow(o, (record) => o.state.records.lamport[record] <= lamport)
}

/** Applies records again after `rewind`. */
export function replayTail (o: TextOrder, tail: Uint32Array): void {
  for (const record of tail) push(o, record)
}

/** Whether anything waits for `catchUp`. */
export function isBehind (o: TextOrder): boolean {
  return o.late.length > 0 || o.gone.size > 0
}

/** The position down to which what waits needs a rewind. Sorts what is late. */
export function behindFrom (o: TextOrder): number {
  const { records, authors } = o.state
  o.late.sort((left, right) => compareRecords(records, authors, left, right))
  let from = o.applied
  for (const first of [...o.late.slice(0, 1), ...o.gone]) {
    from = Math.min(from, firstNotBelow(o, (record) => compareRecords(records, authors, first, record) > 0))
  }
  return from
}

/** Rewinds to `from` and applies what was undone, without what is gone, and the late nodes in canonical order. */
export function catchUp (o: TextOrder, from: number): void {
  const { records, authors } = o.state
  const late = o.late
  o.late = []
  const tail = withoutGone(o, rewind(o, from))
  let at = 0
  for (let i = 0; i < late.length; i++) {
    if (i > 0 && compareRecords(records, authors, late[i - 1], late[i]) === 0) continue
    while (at < tail.length && compareRecords(records, authors, tail[at], late[i]) < 0) push(o, tail[at++])
    pushNode(o, late[i])
  }
  while (at < tail.length) push(o, tail[at++])
}

/** The records whose node is not gone; thereafter nothing is. */
function withoutGone (o: TextOrder, tail: Uint32Array): Uint32Array {
  const { gone, state: { records: { kind } } } = o
  if (gone.size === 0) return tail
  let out = false
  const left = tail.filter((record) => {
    if ((kind[record] & MORE) === 0) out = gone.has(record)
    return !out
  })
  gone.clear()
  return left
}

function pushNode (o: TextOrder, first: number): void {
  const { kind, used } = o.state.records
  let record = first
  do push(o, record++)
  while (record < used && (kind[record] & MORE) !== 0)
}
