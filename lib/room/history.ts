import { only, without } from '../dag/select.js'
import { difference } from '../dag/ranges.js'
import { fromHexList } from '../protocol/hex.js'
import type { ClientMessage } from '../protocol/message.js'
import { type Run, packFrame, packFrames } from './frame.js'
import type { Room } from './room.js'
import type { Session } from './session.js'
import { type Subscription, asRuns } from './subscription.js'
import { createPace, drive } from './turn.js'

type Of<Type extends ClientMessage['type']> = Extract<ClientMessage, { type: Type }>

/** Label of packs that the server sends from its own history. */
const FROM = 'server'

/** Sends nodes as frames, each when the session can take it. */
async function send (session: Session, room: Room, runs: Iterable<Run>, root: Uint8Array | null): Promise<void> {
  await sendFrames(session, historyFrames(session, room, runs, root))
}

export function historyFrames (session: Session, room: Room, runs: Iterable<Run>, root: Uint8Array | null): Generator<Uint8Array> {
  return packFrames(room.dag, runs, FROM, session.server.limits.frameBytes, root, room.frames)
}

async function sendFrames (session: Session, frames: Iterator<Uint8Array>): Promise<void> {
  for (;;) {
    await session.outbox.ready()
    if (session.phase === 'closed') return
    const next = frames.next()
    if (next.done === true) return
    session.outbox.reply(next.value)
  }
}

/** Of the runs, what a subscription lets through, with the ancestors it needs; notes the rest as lacking. */
export async function filtered (subscription: Subscription, runs: Iterable<Run>): Promise<Run[]> {
  const all = [...runs]
  if (subscription.everything) return all
  subscription.lack(all)
  const chosen: number[] = []
  const pace = createPace()
  for (const [from, to] of all) {
    for (let i = from; i < to; i++) {
      chosen.push(...subscription.select([i, i + 1]))
      if (pace.due()) await pace.rest()
    }
  }
  return [...asRuns(chosen.sort((a, b) => a - b))]
}

/**
 * The catch-up after its first frame: the rest of what the reconciliation found, then whatever the room accepted meanwhile, until the
 * session has all there is; from there on it is relayed to. A reader may take as long as it likes: nothing is queued for it in the
 * meantime.
 */
export async function catchUp (session: Session, room: Room, frames: Iterator<Uint8Array>, upTo: number): Promise<void> {
  await sendFrames(session, frames)
  for (let at = upTo; session.phase !== 'closed';) {
    const end = room.dag.size
    if (at === end) return session.follow(at)
    await send(session, room, await filtered(session.subscription, [[at, end]]), null)
    at = end
  }
}

/**
 * `request`: everything the client does not list (spec/session-protocol.md §2.4); always answered. Original clients write their first
 * one before they have imported the catch-up: a list without any of its nodes is not answered with them a second time.
 */
export async function request (session: Session, room: Room, message: Of<'request'>): Promise<void> {
  await session.permit({ type: 'read', patterns: session.subscription.patterns }, 'reject.path_scope_forbidden')
  const missing = await drive(without(room.dag, fromHexList(message.known)))
  const first = !session.requested
  session.requested = true
  const rest = first ? difference(missing, session.terms.catchUp) ?? missing : missing
  await answer(session, room, await filtered(session.subscription, rest))
}

/** `mst-done`: the listed nodes as far as the room has them (§2.6); a list without a single id is not answered. */
export async function mstDone (session: Session, room: Room, message: Of<'mst-done'>): Promise<void> {
  const ids = fromHexList(message.ids)
  if (ids.length === 0) return
  await session.permit({ type: 'read', patterns: session.subscription.patterns }, 'reject.path_scope_forbidden')
  await answer(session, room, await filtered(session.subscription, await drive(only(room.dag, ids))))
}

async function answer (session: Session, room: Room, runs: Run[]): Promise<void> {
  if (runs.length === 0) session.outbox.reply(packFrame(FROM, 0, [], room.dag.root()))
  else await send(session, room, runs, room.dag.root())
}

/** `mst-request` (§2.5): always answered, in the order asked. */
export async function mstRequest (session: Session, room: Room, message: Of<'mst-request'>): Promise<void> {
  session.send({ type: 'mst-response', nodes: await drive(room.trie.answer(message.paths)) })
}

/** `subscribe` (§2.8): replaces the filter for what comes. */
export async function subscribe (session: Session, _room: Room, message: Of<'subscribe'>): Promise<void> {
  await session.permit({ type: 'read', patterns: message.patterns }, 'reject.path_scope_forbidden')
  session.subscription.replace(message.patterns)
  session.send({ type: 'subscribe-ack', patterns: [...session.subscription.patterns] })
}
