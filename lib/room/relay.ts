import type { Dag } from '../dag/dag.js'
import { type Run, packFrames } from './frame.js'
import type { Session } from './session.js'
import type { Source } from './source.js'
import { asRuns } from './subscription.js'
import type { Turn } from './turn.js'

/**
 * Passes accepted nodes on to the sessions of a room, once per turn of the event loop: consecutive nodes of one source travel in one
 * frame, serialised once per distinct selection, the same buffer for every socket (design §4, In memory).
 */
export interface Relay { add (index: number, source: Source): void }

interface Sent { from: number, to: number, source: Source }

export function createRelay (dag: Dag, sessions: ReadonlySet<Session>, frameBytes: number, turn: Turn): Relay {
  let waiting: Sent[] = []

  function flush (): void {
    const sent = waiting
    waiting = []
    sent.forEach((run, i) => spread(run, i === sent.length - 1))
  }

  function spread (run: Sent, last: boolean): void {
    const root = last ? dag.root() : null
    const cache = new Map<string, Uint8Array[]>()
    const framesOf = (key: string, runs: () => Iterable<Run>): Uint8Array[] => {
      const made = cache.get(key) ?? [...packFrames(dag, runs(), run.source.label, frameBytes, root)]
      cache.set(key, made)
      return made
    }
    const whole: Run = [run.from, run.to]
    for (const session of sessions) {
      if (session === run.source.session || !session.follows(run.to)) continue
      const subscription = session.subscription
      if (subscription.everything) {
        for (const frame of framesOf('', () => [whole])) session.outbox.broadcast(frame)
      } else {
        const chosen = subscription.select(whole)
        for (const frame of framesOf(chosen.join(), () => asRuns(chosen))) session.outbox.broadcast(frame)
      }
    }
  }

  return {
    add (index, source) {
      const last = waiting.at(-1)
      if (last !== undefined && last.source === source && last.to === index) last.to++
      else waiting.push({ from: index, to: index + 1, source })
      if (last === undefined) turn.defer(flush)
    }
  }
}
