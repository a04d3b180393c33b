import { FANOUT, find, paint, removeSlots } from './sequence.js'
import { EFFECT } from './text-effects.js'
import { popIds } from './text-ids.js'
import { isInsert, recordOf } from './text-records.js'
import { type TextState, addPending, addWaiting, dropWaiting, idAt, predecessor, takePending } from './text-state.js'

/** Takes back the latest applied record; its effects are those from `from` on. */
export function undoRecord (t: TextState, record: number, from: number): void {
  const e = t.effects
  while (e.used > from) {
    const what = e.what[--e.used]
    undoEffect(t, record, what % 8, e.slot[e.used], Math.floor(what / 8))
  }
  const r = t.records
  if (isInsert(r.kind[record])) popIds(t.ids, r.author[record], r.slot[record], r.slot[record] + r.count[record])
}

function undoEffect (t: TextState, record: number, kind: number, slot: number, n: number): void {
  switch (kind) {
    case EFFECT.placed: removeSlots(t.sequence, slot, n); break
    case EFFECT.hidden: show(t, slot, n); break
    case EFFECT.pending: takePending(t, t.records.anchorAuthor[record], t.records.anchorLamport[record]); break
    case EFFECT.released: removeSlots(t.sequence, slot, 1); waitAgain(t, slot); break
    case EFFECT.waiting: stopWaiting(t, slot); break
    default: pendAgain(t, slot)
  }
}

/** What was hidden together may lie in several runs. */
function show (t: TextState, slot: number, n: number): void {
  const s = t.sequence
  for (let done = 0; done < n;) {
    find(s, slot + done)
    const piece = Math.min(n - done, Math.abs(s.size[s.atLeaf * FANOUT + s.atRun]) - s.atOffset)
    paint(s, slot + done, piece)
    done += piece
  }
}

function waitAgain (t: TextState, slot: number): void {
  const before = predecessor(t, recordOf(t.records, slot), slot)
  addWaiting(t, before.author, before.lamport, slot)
}

function stopWaiting (t: TextState, slot: number): void {
  const before = predecessor(t, recordOf(t.records, slot), slot)
  dropWaiting(t, before.author, before.lamport)
}

function pendAgain (t: TextState, slot: number): void {
  const record = recordOf(t.records, slot)
  addPending(t, t.records.author[record], idAt(t, record, slot))
}
