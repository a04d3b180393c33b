import { NodalmergeError } from '../errors.js'
import { toHex } from '../protocol/hex.js'
import type { Session } from './session.js'
import type { Verdict } from './verdict.js'

/** Entries of `pack-ack.rejected` (spec/session-protocol.md §2.2). */
const MAX_REJECTED = 64

/**
 * Answers a pack: one `error` for what was refused, then the `pack-ack`. A client that repeats what can never be accepted waits longer
 * each time, from the third time on; the counts stay honest.
 */
export function acknowledge (session: Session, verdict: Verdict, id: string | number | undefined): void {
  const delay = Math.max(0, ...verdict.refused.map((refused) => session.refusals.strain(toHex(refused.id))))
  const answer = (): void => {
    if (session.phase === 'closed') return
    tellRefusals(session, verdict)
    session.send({
      type: 'pack-ack',
      room: session.terms.room.id,
      ...(id === undefined ? {} : { id }),
      incoming_count: verdict.incoming,
      accepted_count: verdict.accepted + verdict.duplicates,
      rejected_count: verdict.incoming - verdict.accepted - verdict.duplicates,
      duplicate_count: verdict.duplicates,
      ...(verdict.refused.length === 0 ? {} : { rejected: rejectedList(verdict) })
    })
  }
  if (delay === 0) answer()
  else session.server.clock.after(delay, answer)
}

function rejectedList (verdict: Verdict): { id: string, code: string, msg: string }[] {
  return verdict.refused.slice(0, MAX_REJECTED).map(({ id, code, message }) => ({ id: toHex(id), code, msg: message }))
}

function tellRefusals (session: Session, verdict: Verdict): void {
  const final = verdict.refused.filter(({ code }) => code !== 'reject.missing_parent')
  const unresolved = verdict.refused.length - final.length
  const texts = final.slice(0, MAX_REJECTED).map(({ message }) => message)
  if (unresolved > 0) texts.push(`missing_parent: ${unresolved} node(s) unresolved`)
  if (texts.length === 0) return
  session.sendError(new NodalmergeError(final[0]?.code ?? 'reject.missing_parent', texts.join('; ')))
}
