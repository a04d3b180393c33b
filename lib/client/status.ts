import { type Listeners, createListeners } from './listeners.js'
import type { LinkState } from './link.js'
import type { Readable } from './readable.js'

/** Where a document stands. Counts are of nodes, unless they say otherwise. */
export interface Status {
  /**
   * `offline`: not asked to connect, or there is no network. `connecting`, `greeting`: on the way. `open`: in a session. `waiting`:
   * another attempt follows in `retryInMs`. `denied`: the server refused for good, `reauth` or `connect` tries again.
   */
  connection: LinkState['state']
  retryInMs?: number
  /** Close code of a refusal; 0 when one's own token callback refused. */
  code?: number
  reason?: string
  /** The server holds everything of ours, durably, and everything it announced is here. */
  synced: boolean
  /** Written and not in local storage yet; typing that is no node yet counts as one. */
  unsaved: number
  /** Not written to the present connection yet. */
  unsent: number
  /** Not known to be durable on the server. */
  unacknowledged: number
  /** Blobs the server does not have yet. */
  blobs: number
  /** `memory`: nothing outlives this document. `failed`: storage does not work, the document goes on in memory. */
  storage: 'ok' | 'failed' | 'memory'
}

export interface StatusBoard extends Readable<Status> {
  /** Looks again, at the end of the turn. */
  refresh (): void
  /** Looks again now. */
  settle (): void
}

/** The status as `look` finds it; told when it is another one. */
export function createStatus (look: () => Status, report: (error: unknown) => void): StatusBoard {
  const listeners: Listeners<[Status]> = createListeners<[Status]>(report)
  let shown = look()
  let due = false

  function settle (): void {
    const now = look()
    if (same(shown, now)) return
    shown = now
    listeners.tell(now)
  }

  return {
    get: () => shown,
    subscribe: listeners.add,
    settle,
    refresh () {
      if (due) return
      due = true
      queueMicrotask(() => {
        due = false
        settle()
      })
    }
  }
}

function same (a: Status, b: Status): boolean {
  const keys = Object.keys({ ...a, ...b }) as (keyof Status)[]
  return keys.every((key) => a[key] === b[key])
}

/** What a link's state says in a status. */
export function connectionOf (state: LinkState): Pick<Status, 'connection' | 'retryInMs' | 'code' | 'reason'> {
  switch (state.state) {
    case 'waiting': return { connection: 'waiting', retryInMs: state.retryInMs, ...(state.reason === undefined ? {} : { reason: state.reason }) }
    case 'denied': return { connection: 'denied', code: state.code, reason: state.reason }
    default: return { connection: state.state }
  }
}
