import { compareAuthors } from './authors.js'
import {
  FANOUT, MIXED_RUN, NOWHERE, type Sequence, find, isVisible, nextLeaf, paint, placeRun, wideIn
} from './sequence.js'
import { placeAtStart, seek, slotAt } from './sequence-read.js'
import { EFFECT, addEffect } from './text-effects.js'
import { lastLamport, pushIds, slotOf } from './text-ids.js'
import { ANCHOR, OP, recordOf } from './text-records.js'
import { type TextState, addPending, addWaiting, idAt, predecessor, takePending, takeWaiting } from './text-state.js'

/** Applies one operation to the state left by all operations before it in canonical order (§9.2). */
export function applyRecord (t: TextState, record: number): void {
  const kind = t.records.kind[record]
  switch (kind & OP.mask) {
    case OP.insertRange: insertRange(t, record, kind); break
    case OP.deleteRange: deleteRange(t, record, kind); break
    case OP.insert: insertOne(t, record, kind); break
    default: deleteOne(t, record)
  }
}

/** The slot an anchor's id names when that character is placed, otherwise NOWHERE. */
function anchorSlot (t: TextState, record: number): number {
  const slot = slotOf(t.ids, t.records.anchorAuthor[record], t.records.anchorLamport[record])
  return slot < 0 || t.sequence.leaf[slot] === NOWHERE ? NOWHERE : slot
}

/** Sets the place behind the visible character left of an anchor: the `after` of the first inserted character. */
function placeAtAnchor (t: TextState, record: number, kind: number): void {
  const s = t.sequence
  const shown = s.visible[s.root]
  let index = shown
  if ((kind & ANCHOR.mask) === ANCHOR.after) {
    const slot = anchorSlot(t, record)
    if (slot !== NOWHERE && isVisible(s, slot)) {
      s.atOffset++
      return
    }
  } else if ((kind & ANCHOR.mask) === ANCHOR.start) {
    index = 0
  } else if ((kind & ANCHOR.mask) === ANCHOR.offset) {
    index = Math.min(t.records.anchorLamport[record], shown)
  }
  if (index === 0) { placeAtStart(s); return }
  seek(s, index - 1, 'visible')
  s.atOffset++
}

function insertRange (t: TextState, record: number, kind: number): void {
  const r = t.records
  const author = r.author[record]
  const lamport = r.lamport[record]
  const known = Math.min(r.count[record], Math.max(0, lastLamport(t.ids, author) - lamport + 1))
  const n = r.count[record] - known
  if (n === 0) return
  const slot = r.slot[record] + known
  const after = known === 0 ? NOWHERE : slotOf(t.ids, author, lamport + known - 1)
  pushIds(t.ids, author, lamport + known, slot, n)
  if (after !== NOWHERE && t.sequence.leaf[after] === NOWHERE) {
    for (let i = 0; i < n; i++) wait(t, author, lamport + known + i - 1, slot + i)
    return
  }
  if (known === 0) placeAtAnchor(t, record, kind)
  else placeBehind(t, after)
  if (t.pending.has(author) || t.waiting.has(author)) placeEach(t, author, lamport + known, slot, n)
  else placeAll(t, author, lamport + known, slot, n)
}

function insertOne (t: TextState, record: number, kind: number): void {
  const r = t.records
  const author = r.author[record]
  const lamport = r.lamport[record]
  const slot = r.slot[record]
  if (lamport <= lastLamport(t.ids, author)) return
  if ((kind & ANCHOR.mask) === ANCHOR.start) {
    pushIds(t.ids, author, lamport, slot, 1)
    placeAtStart(t.sequence)
  } else {
    const after = anchorSlot(t, record)
    pushIds(t.ids, author, lamport, slot, 1)
    if (after === NOWHERE) { wait(t, r.anchorAuthor[record], r.anchorLamport[record], slot); return }
    placeBehind(t, after)
  }
  placeEach(t, author, lamport, slot, 1)
}

function placeBehind (t: TextState, slot: number): void {
  find(t.sequence, slot)
  t.sequence.atOffset++
}

/**
 * Places a range whose ids nothing waits for. Its characters stay side by side: the first one stops before a smaller id, and the
 * others are larger still.
 */
function placeAll (t: TextState, author: number, lamport: number, slot: number, n: number): void {
  const s = t.sequence
  addEffect(t.effects, EFFECT.placed, slot, n)
  passGreater(t, author, lamport)
  raise(t, lamport + n - 1)
  const wide = wideIn(s, slot, n)
  if (wide === 0) { placeRun(s, slot, n, 0, false); return }
  for (let done = 0; done < n; done += MIXED_RUN) {
    const piece = Math.min(MIXED_RUN, n - done)
    placeRun(s, slot + done, piece, wideIn(s, slot + done, piece), false)
  }
}

function raise (t: TextState, lamport: number): void {
  if (lamport > t.ceiling) t.ceiling = lamport
}

/** Places characters one by one: some may be awaited by others or deleted already. */
function placeEach (t: TextState, author: number, lamport: number, slot: number, n: number): void {
  for (let i = 0; i < n; i++) {
    if (i > 0) placeBehind(t, slot + i - 1)
    placeOne(t, author, lamport + i, slot + i, EFFECT.placed)
    if (t.waiting.size > 0) release(t, author, lamport + i)
  }
}

function placeOne (t: TextState, author: number, lamport: number, slot: number, effect: number): void {
  passGreater(t, author, lamport)
  raise(t, lamport)
  const hidden = takePending(t, author, lamport)
  if (hidden) addEffect(t.effects, EFFECT.hiddenAtBirth, slot, 1)
  addEffect(t.effects, effect, slot, 1)
  placeRun(t.sequence, slot, 1, wideIn(t.sequence, slot, 1), hidden)
}

/** Places everything that waits for an id, and for what is placed thereby: the latest first. */
function release (t: TextState, author: number, lamport: number): void {
  const stack = takeWaiting(t, author, lamport)
  for (let slot = stack.pop(); slot !== undefined; slot = stack.pop()) {
    const record = recordOf(t.records, slot)
    const own = idAt(t, record, slot)
    const before = predecessor(t, record, slot)
    placeBehind(t, slotOf(t.ids, before.author, before.lamport))
    placeOne(t, t.records.author[record], own, slot, EFFECT.released)
    for (const next of takeWaiting(t, t.records.author[record], own)) stack.push(next)
  }
}

/** Moves the place right past every character whose id is greater, as the scan rule says (§9.2, place). */
function passGreater (t: TextState, author: number, lamport: number): void {
  if (lamport > t.ceiling) return
  const s = t.sequence
  for (;;) {
    const { atLeaf, atRun, atOffset } = s
    const inRun = atRun < s.count[atLeaf] && atOffset < Math.abs(s.size[atLeaf * FANOUT + atRun])
    if (!inRun && !stepRight(s)) return
    const slot = slotAt(s)
    const record = recordOf(t.records, slot)
    if (!isGreater(t, record, slot, author, lamport)) {
      s.atLeaf = atLeaf
      s.atRun = atRun
      s.atOffset = atOffset
      return
    }
    const at = s.atLeaf * FANOUT + s.atRun
    s.atOffset = Math.min(Math.abs(s.size[at]), t.records.slot[record] + t.records.count[record] - s.entry[at])
  }
}

function isGreater (t: TextState, record: number, slot: number, author: number, lamport: number): boolean {
  const own = idAt(t, record, slot)
  if (own !== lamport) return own > lamport
  return compareAuthors(t.authors, t.records.author[record], author) > 0
}

/** From the end of a run to the start of the next one; false at the end of the text. */
function stepRight (s: Sequence): boolean {
  if (s.atRun + 1 < s.count[s.atLeaf]) {
    s.atRun++
    s.atOffset = 0
    return true
  }
  const leaf = nextLeaf(s, s.atLeaf, s.total)
  if (leaf === NOWHERE) return false
  s.atLeaf = leaf
  s.atRun = s.atOffset = 0
  return true
}

function deleteOne (t: TextState, record: number): void {
  const slot = anchorSlot(t, record)
  if (slot !== NOWHERE) {
    if (isVisible(t.sequence, slot)) hide(t, slot, 1)
    return
  }
  if (addPending(t, t.records.anchorAuthor[record], t.records.anchorLamport[record])) addEffect(t.effects, EFFECT.pending, 0, 0)
}

function hide (t: TextState, slot: number, n: number): void {
  addEffect(t.effects, EFFECT.hidden, slot, n)
  paint(t.sequence, slot, n)
}

function deleteRange (t: TextState, record: number, kind: number): void {
  const s = t.sequence
  const anchor = kind & ANCHOR.mask
  if (anchor === ANCHOR.end) return
  if (anchor === ANCHOR.after) {
    const slot = anchorSlot(t, record)
    if (slot === NOWHERE || !isVisible(s, slot)) return
    s.atOffset++
  } else {
    const index = anchor === ANCHOR.start ? 0 : t.records.anchorLamport[record]
    if (index >= s.visible[s.root]) return
    seek(s, index, 'visible')
  }
  let left = t.records.count[record]
  while (left > 0 && toVisible(s)) {
    const slot = slotAt(s)
    const n = Math.min(left, s.size[s.atLeaf * FANOUT + s.atRun] - s.atOffset)
    hide(t, slot, n)
    left -= n
    if (left > 0) placeBehind(t, slot + n - 1)
  }
}

/** Moves the place right to the next visible character; leaves it where it is when it stands before one. */
function toVisible (s: Sequence): boolean {
  const base = s.atLeaf * FANOUT
  let at = base + s.atRun
  if (s.atOffset < s.size[at]) return true
  const end = base + s.count[s.atLeaf]
  for (at++; at < end; at++) {
    if (s.size[at] > 0) {
      s.atRun = at - base
      s.atOffset = 0
      return true
    }
  }
  const leaf = nextLeaf(s, s.atLeaf, s.visible)
  if (leaf === NOWHERE) return false
  s.atLeaf = leaf
  s.atRun = s.atOffset = 0
  return s.size[leaf * FANOUT] > 0 || toVisible(s)
}

function wait (t: TextState, author: number, lamport: number, slot: number): void {
  addWaiting(t, author, lamport, slot)
  addEffect(t.effects, EFFECT.waiting, slot, 1)
}
