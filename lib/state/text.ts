import type { Anchor, OpId, TextOp } from '../protocol/op.js'
import { type Authors, authorBytes, createAuthors, internAuthor } from './authors.js'
import { FANOUT, NOWHERE, find } from './sequence.js'
import { before, seek, slotAt, sliceUnits } from './sequence-read.js'
import { slotOf } from './text-ids.js'
import { behindFrom, catchUp, createTextOrder, isBehind, replayTail, rewind, takeIn, takeOut, type TextOrder, upTo } from './text-order.js'
import { type NodeKey, recordOf } from './text-records.js'
import { createTextState, idAt, type TextState } from './text-state.js'
import { type Splice, type TextChanges, createTextChanges } from './text-changes.js'

export type { NodeKey, Splice }

/** `position` and `length` in UTF-16 units, the length 0 when the character is deleted; `index` counts characters, deleted ones too. */
export interface CharacterPlace { position: number, length: number, index: number }

/**
 * One collaborative text. Its content is always the canonical text (spec/wire-format.md §9.4): what the operations of all nodes give
 * when they are sorted by (lamport, author, node id) and applied from empty, in whatever order the nodes come. Nodes that come in
 * canonical order apply at once in O(log n); others wait until the next read or `settle`, which rewinds once for all of them.
 * Positions are UTF-16 units, as in JavaScript strings and editors, unless a name says scalars.
 */
export interface Text {
  /** Takes in the operations of one node on this text, all of them in one call. A node known already is ignored. */
  apply (node: NodeKey, ops: readonly TextOp[]): void
  /** Takes out a node, with the next read or `settle`: the text is as if it had never been applied. */
  retract (node: NodeKey): void
  /** Applies what waits and tells the observers what has changed since they were last told. */
  settle (): void
  /** Length in UTF-16 units. */
  readonly length: number
  /** Length in Unicode scalar values, which the wire counts. */
  readonly scalars: number
  toString (): string
  /** Like `String.prototype.slice` for `0 <= start <= end`; the ends are clamped to the text. */
  slice (start: number, end?: number): string
  /** The text as of a lamport value: only nodes with at most that lamport. */
  at (lamport: number): string
  /** The id of the character that covers a position, or null when there is none. */
  idAt (position: number): OpId | null
  /** Where a visible character starts, or null when the character is unknown or deleted. */
  positionOf (id: OpId): number | null
  /** Where a character stands, or would stand if it were shown; null when it is unknown. */
  placeOf (id: OpId): CharacterPlace | null
  /** The anchor with which a writer inserts at, or deletes from, a position (§9.3): Start, End or After. */
  anchorAt (position: number): Anchor
  /** Position in scalars of the character that covers a position. */
  toScalars (position: number): number
  /** Position of the n-th scalar. */
  toUnits (scalars: number): number
  /**
   * Calls `listener` from `settle` with the splices that turn the text as last told into the text as it is, in order, each one
   * relative to the result of those before it. Returns how to stop.
   */
  observe (listener: (splices: readonly Splice[]) => void): () => void
}

/** Creates an empty text. Texts of one document share one table of `authors`. */
export function createText (authors: Authors = createAuthors()): Text {
  const state = createTextState(authors)
  const order = createTextOrder(state)
  const listeners = new Set<(splices: readonly Splice[]) => void>()
  let changes: TextChanges | null = null

  function settled (): TextState {
    if (isBehind(order)) {
      const from = behindFrom(order)
      changes?.beforeRewind(from)
      catchUp(order, from)
    }
    return state
  }

  function settle (): void {
    settled()
    const splices = changes?.take() ?? []
    if (splices.length > 0) for (const listener of listeners) listener(splices)
  }

  return Object.assign(reading(settled), {
    apply: (node: NodeKey, ops: readonly TextOp[]) => takeIn(order, node, ops),
    retract: (node: NodeKey) => takeOut(order, node),
    settle,
    observe (listener: (splices: readonly Splice[]) => void) {
      settle()
      changes ??= createTextChanges(order)
      listeners.add(listener)
      return () => {
        listeners.delete(listener)
        if (listeners.size === 0) changes = null
      }
    },
    at: (lamport: number) => textAt(order, settled(), lamport)
  })
}

type Reading = Omit<Text, 'apply' | 'retract' | 'settle' | 'observe' | 'at'>

function reading (settled: () => TextState): Reading {
  return {
    get length () { return unitLength(settled()) },
    get scalars () { return scalarLength(settled()) },
    toString () { const t = settled(); return sliceUnits(t.sequence, 0, unitLength(t)) },
    slice (start, end = Infinity) {
      const t = settled()
      return sliceUnits(t.sequence, checked(start), Math.min(checked(end), unitLength(t)))
    },
    idAt (position) {
      const t = settled()
      if (checked(position) >= unitLength(t)) return null
      seek(t.sequence, position, 'units')
      return idOf(t, slotAt(t.sequence))
    },
    positionOf (id) {
      const place = placeOf(settled(), id)
      return place === null || place.length === 0 ? null : place.position
    },
    placeOf (id) { return placeOf(settled(), id) },
    anchorAt (position) { return anchorAt(settled(), position) },
    toScalars (position) {
      const t = settled()
      if (checked(position) >= unitLength(t)) return scalarLength(t)
      seek(t.sequence, position, 'units')
      return before(t.sequence, 'visible')
    },
    toUnits (scalars) {
      const t = settled()
      if (checked(scalars) >= scalarLength(t)) return unitLength(t)
      seek(t.sequence, scalars, 'visible')
      return before(t.sequence, 'units')
    }
  }
}

function checked (position: number): number {
  if (typeof position !== 'number') throw new TypeError('a position is a number')
  if (position < 0 || Number.isNaN(position)) throw new RangeError('a position is not negative')
  return position
}

const unitLength = (t: TextState): number => t.sequence.units[t.sequence.root]
const scalarLength = (t: TextState): number => t.sequence.visible[t.sequence.root]

function idOf (t: TextState, slot: number): OpId {
  const record = recordOf(t.records, slot)
  return { lamport: idAt(t, record, slot), author: authorBytes(t.authors, t.records.author[record]) }
}

function placeOf (t: TextState, id: OpId): CharacterPlace | null {
  const s = t.sequence
  const slot = slotOf(t.ids, internAuthor(t.authors, id.author), id.lamport)
  if (slot < 0 || s.leaf[slot] === NOWHERE) return null
  find(s, slot)
  const shown = s.size[s.atLeaf * FANOUT + s.atRun] > 0
  return { position: before(s, 'units'), length: shown ? (s.code[slot] > 0xffff ? 2 : 1) : 0, index: before(s, 'total') }
}

function anchorAt (t: TextState, position: number): Anchor {
  if (checked(position) === 0) return { at: 'start' }
  if (position >= unitLength(t)) return { at: 'end' }
  seek(t.sequence, position - 1, 'units')
  return { at: 'after', id: idOf(t, slotAt(t.sequence)) }
}

function textAt (order: TextOrder, t: TextState, lamport: number): string {
  const tail = rewind(order, upTo(order, lamport))
  const text = sliceUnits(t.sequence, 0, unitLength(t))
  replayTail(order, tail)
  return text
}
