import { FANOUT, type Sequence, find } from './sequence.js'
import { before, sliceUnits, textOfSlots } from './sequence-read.js'
import { EFFECT } from './text-effects.js'
import type { TextOrder } from './text-order.js'

/** Replaces `deleted` units at `position` by `inserted`; all in UTF-16 units. */
export interface Splice { position: number, deleted: number, inserted: string }

/**
 * What has changed since the observers were last told. Two states that share a canonical prefix (the base) are compared by what
 * lies beyond it: characters placed since, and characters of the base hidden since. Whatever else the rewinding did is invisible.
 */
export interface TextChanges {
  /** Must be called before the records from `from` on are undone. */
  beforeRewind (from: number): void
  /** The splices since the last call. */
  take (): Splice[]
}

/** A character that a state has beyond its base, or that the base shows and the state hides. */
interface Mark {
  /** Characters of the base left of it: the gap of a placed one, the index of a hidden one. */
  gap: number
  placed: boolean
  slot: number
  /** Visible units left of it in its state. */
  position: number
}

interface Range { slot: number, n: number }

export function createTextChanges (order: TextOrder): TextChanges {
  const queued: Splice[] = []
  let base = order.applied
  let told: Mark[] = []

  function flush (): void {
    if (base === 0 && told.length === 0) appear(order.state.sequence, queued)
    else compare(order.state.sequence, told, marksFrom(order, base), queued)
    base = order.applied
    told = []
  }

  return {
    beforeRewind (from) {
      if (from >= base) return
      flush()
      told = marksFrom(order, from)
      base = from
    },
    take () {
      flush()
      return queued.splice(0)
    }
  }
}

/** The marks that the records from a position on leave, in the order of the text. */
function marksFrom (order: TextOrder, from: number): Mark[] {
  if (from >= order.applied) return []
  const { effects, sequence } = order.state
  const placed: Range[] = []
  const hidden: Range[] = []
  for (let i = order.starts[from]; i < effects.used; i++) {
    const kind = effects.what[i] % 8
    const range = { slot: effects.slot[i], n: Math.floor(effects.what[i] / 8) }
    if (kind === EFFECT.placed || kind === EFFECT.released) placed.push(range)
    else if (kind === EFFECT.hidden) hidden.push(range)
  }
  const own = united(placed)
  const pieces = [...own.flatMap((range) => inRuns(sequence, range, true)), ...without(united(hidden), own).flatMap((range) => inRuns(sequence, range, false))]
  return marks(sequence, pieces.sort((a, b) => a.index - b.index))
}

/** Ranges in ascending order, neighbours joined. */
function united (ranges: Range[]): Range[] {
  const out: Range[] = []
  for (const range of ranges.sort((a, b) => a.slot - b.slot)) {
    const last = out.at(-1)
    if (last !== undefined && last.slot + last.n === range.slot) last.n += range.n
    else out.push(range)
  }
  return out
}

/** The part of ascending ranges that no range of `others` covers. */
function without (ranges: Range[], others: Range[]): Range[] {
  const out: Range[] = []
  let i = 0
  for (const { slot, n } of ranges) {
    let from = slot
    while (i < others.length && others[i].slot + others[i].n <= from) i++
    for (let k = i; k < others.length && others[k].slot < slot + n; k++) {
      if (others[k].slot > from) out.push({ slot: from, n: others[k].slot - from })
      from = others[k].slot + others[k].n
    }
    if (from < slot + n) out.push({ slot: from, n: slot + n - from })
  }
  return out
}

interface Piece extends Range { index: number, position: number, visible: boolean, placed: boolean }

/** A range of slots as the parts of runs it lies in. */
function inRuns (s: Sequence, range: Range, placed: boolean): Piece[] {
  const out: Piece[] = []
  for (let slot = range.slot; slot < range.slot + range.n;) {
    find(s, slot)
    const size = s.size[s.atLeaf * FANOUT + s.atRun]
    const n = Math.min(range.slot + range.n - slot, Math.abs(size) - s.atOffset)
    out.push({ slot, n, index: before(s, 'total'), position: before(s, 'units'), visible: size > 0, placed })
    slot += n
  }
  return out
}

function marks (s: Sequence, pieces: Piece[]): Mark[] {
  const out: Mark[] = []
  let placedLeft = 0
  for (const { slot, n, index, position, visible, placed } of pieces) {
    let units = position
    for (let i = 0; i < n; i++) {
      if (!placed) out.push({ gap: index + i - placedLeft, placed, slot: slot + i, position })
      else if (visible) {
        out.push({ gap: index - placedLeft, placed, slot: slot + i, position: units })
        units += s.code[slot + i] > 0xffff ? 2 : 1
      }
    }
    if (placed) placedLeft += n
  }
  return out
}

/** Appends the splice that leads from no text to the present one, which needs no mark for each character. */
function appear (s: Sequence, out: Splice[]): void {
  const inserted = sliceUnits(s, 0, s.units[s.root])
  if (inserted !== '') out.push({ position: 0, deleted: 0, inserted })
}

/** Appends the splices that lead from the told state to the present one. */
function compare (s: Sequence, told: Mark[], now: Mark[], out: Splice[]): void {
  const first = out.length
  let shift = 0
  const emit = (position: number, gone: readonly Mark[], come: readonly Mark[]): void => {
    const inserted = come.map((mark) => textOfSlots(s, mark.slot, 1)).join('')
    const deleted = gone.reduce((sum, mark) => sum + (s.code[mark.slot] > 0xffff ? 2 : 1), 0)
    shift += inserted.length - deleted
    const last = out.at(-1)
    if (out.length > first && last !== undefined && last.position + last.inserted.length === position) {
      last.inserted += inserted
      last.deleted += deleted
    } else {
      out.push({ position, deleted, inserted })
    }
  }
  for (let i = 0, j = 0; i < told.length || j < now.length;) {
    const gap = Math.min(told[i]?.gap ?? Infinity, now[j]?.gap ?? Infinity)
    const old = group(told, i, gap)
    const fresh = group(now, j, gap)
    i += old.length
    j += fresh.length
    comparePlaced(old.filter((mark) => mark.placed), fresh.filter((mark) => mark.placed), shift, emit)
    const restored = old.find((mark) => !mark.placed)
    const hidden = fresh.find((mark) => !mark.placed)
    if (restored === undefined && hidden !== undefined) emit(hidden.position, [hidden], [])
    else if (restored !== undefined && hidden === undefined) emit(restored.position + shift, [], [restored])
  }
}

function group (list: Mark[], from: number, gap: number): Mark[] {
  let end = from
  while (end < list.length && list[end].gap === gap) end++
  return list.slice(from, end)
}

/** Characters placed in the same gap: what both states share at either end stays. */
function comparePlaced (old: Mark[], fresh: Mark[], shift: number, emit: (position: number, gone: Mark[], come: Mark[]) => void): void {
  let start = 0
  while (start < old.length && start < fresh.length && old[start].slot === fresh[start].slot) start++
  let oldEnd = old.length
  let freshEnd = fresh.length
  while (oldEnd > start && freshEnd > start && old[oldEnd - 1].slot === fresh[freshEnd - 1].slot) { oldEnd--; freshEnd-- }
  if (start === oldEnd && start === freshEnd) return
  const position = start < freshEnd ? fresh[start].position : old[start].position + shift
  emit(position, old.slice(start, oldEnd), fresh.slice(start, freshEnd))
}
