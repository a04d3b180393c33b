import { FANOUT, type Sequence, firstLeaf, indexInParent, nextLeaf } from './sequence.js'

/**
 * What positions of a sequence are counted in: `total` counts every character, tombstones included; `visible` the visible ones as
 * Unicode scalar values (what the wire counts, spec/wire-format.md §20); `units` the visible ones as UTF-16 units (what strings count).
 */
export type Measure = 'total' | 'visible' | 'units'

function runMeasure (s: Sequence, at: number, measure: Measure): number {
  const size = s.size[at]
  if (measure === 'total') return Math.abs(size)
  if (size < 0) return 0
  return measure === 'visible' ? size : size + s.wide[at]
}

/** Units taken by the first `n` scalars of the run at `at`. */
function unitsOf (s: Sequence, at: number, n: number): number {
  if (s.wide[at] === 0) return n
  let units = n
  const from = s.entry[at]
  for (let slot = from; slot < from + n; slot++) if (s.code[slot] > 0xffff) units++
  return units
}

/** Sets the place before the first character, tombstones included. */
export function placeAtStart (s: Sequence): void {
  s.atLeaf = s.total[s.root] === 0 ? s.root : firstLeaf(s, s.root, s.total)
  s.atRun = s.atOffset = 0
}

/** Sets the place to the character that covers `position`, which must be below the sequence's length in that measure. */
export function seek (s: Sequence, position: number, measure: Measure): void {
  const sums = s[measure]
  let node = s.root
  while (s.level[node] > 0) {
    let at = node * FANOUT
    while (position >= sums[s.entry[at]]) position -= sums[s.entry[at++]]
    node = s.entry[at]
  }
  let at = node * FANOUT
  for (let m = runMeasure(s, at, measure); position >= m; m = runMeasure(s, ++at, measure)) position -= m
  s.atLeaf = node
  s.atRun = at - node * FANOUT
  s.atOffset = measure === 'units' ? scalarsIn(s, at, position) : position
}

/** How many scalars of a run lie wholly before `units`. */
function scalarsIn (s: Sequence, at: number, units: number): number {
  if (s.wide[at] === 0) return units
  let slot = s.entry[at]
  for (let left = units; left >= unitsAt(s, slot); slot++) left -= unitsAt(s, slot)
  return slot - s.entry[at]
}

function unitsAt (s: Sequence, slot: number): number {
  return s.code[slot] > 0xffff ? 2 : 1
}

/** Slot of the character at the place. */
export function slotAt (s: Sequence): number {
  return s.entry[s.atLeaf * FANOUT + s.atRun] + s.atOffset
}

/** How much lies before the place. */
export function before (s: Sequence, measure: Measure): number {
  const base = s.atLeaf * FANOUT
  const own = base + s.atRun
  let sum = 0
  if (measure === 'total' || s.size[own] > 0) sum = measure === 'units' ? unitsOf(s, own, s.atOffset) : s.atOffset
  for (let at = base; at < own; at++) sum += runMeasure(s, at, measure)
  const sums = s[measure]
  for (let node = s.atLeaf; node !== s.root; node = s.parent[node]) {
    const from = s.parent[node] * FANOUT
    for (let at = from, end = from + indexInParent(s, node); at < end; at++) sum += sums[s.entry[at]]
  }
  return sum
}

/** The visible text between two positions in UTF-16 units, `0 <= start <= end <= units`. A cut pair yields its half. */
export function sliceUnits (s: Sequence, start: number, end: number): string {
  if (start >= end) return ''
  seek(s, start, 'units')
  const skipped = start - before(s, 'units')
  const wanted = end - start + skipped
  const out = new Uint16Array(wanted + 1)
  let leaf = s.atLeaf
  let at = leaf * FANOUT + s.atRun
  let from = s.atOffset
  let filled = 0
  while (filled < wanted) {
    const last = leaf * FANOUT + s.count[leaf]
    for (; at < last && filled < wanted; at++) {
      if (s.size[at] > 0) filled = copyUnits(s, s.entry[at] + from, s.entry[at] + s.size[at], out, filled)
      from = 0
    }
    if (filled < wanted) {
      leaf = nextLeaf(s, leaf, s.visible)
      at = leaf * FANOUT
    }
  }
  return decode(out.subarray(skipped, wanted))
}

/** Copies the scalars of some slots as UTF-16 until the output is full; returns how much of it is filled. */
function copyUnits (s: Sequence, slot: number, end: number, out: Uint16Array, filled: number): number {
  for (; slot < end && filled < out.length - 1; slot++) {
    const code = s.code[slot]
    if (code > 0xffff) {
      out[filled++] = 0xd800 + (code - 0x10000 >> 10)
      out[filled++] = 0xdc00 + (code & 0x3ff)
    } else {
      out[filled++] = code
    }
  }
  return filled
}

function decode (units: Uint16Array): string {
  let text = ''
  for (let i = 0; i < units.length; i += 8192) text += Reflect.apply(String.fromCharCode, null, units.subarray(i, i + 8192))
  return text
}

/** The scalars of `n` slots from `slot` as a string, whatever their state. */
export function textOfSlots (s: Sequence, slot: number, n: number): string {
  const out = new Uint16Array(2 * n + 1)
  return decode(out.subarray(0, copyUnits(s, slot, slot + n, out, 0)))
}
