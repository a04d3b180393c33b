import type { ErrorMessage } from '../protocol/server-message.js'

/** How a connection ended. */
export interface Ending {
  code: number
  reason: string
  /** The last `error` that the server sent. */
  error: ErrorMessage | null
  /** Whether the session had begun. */
  welcomed: boolean
  /** Whether another token may be had. */
  refreshable: boolean
}

/** What of ours was too much for the server: the rate of packs, or the size of one. */
export type Pressure = 'rate' | 'size'

/** What follows: another attempt, at once or after a delay of at least so much, or none until the host says so. */
export type Sequel =
  | { then: 'retry', atOnce: boolean, atLeastMs: number, refresh: boolean, pressure: Pressure | null, reason: string }
  | { then: 'denied', code: number, reason: string }

/** A server that found us too fast is left alone for so long (spec/client.md §11.2, C5). */
const COOL_DOWN_MS = 30_000

/** The close codes and what they ask of a client (spec/session-protocol.md §6.3, spec/client.md §11.2, C5). */
export function sequelOf (ending: Ending): Sequel {
  const { code, error, welcomed } = ending
  const reason = textOf(ending)
  const refused = !welcomed && error !== null && isRefusal(error)
  if (refused && isExpiry(error)) return ending.refreshable ? retry(reason, { refresh: true }) : { then: 'denied', code, reason }
  if (refused && error.retry !== true) return { then: 'denied', code, reason }
  switch (code) {
    case 4001: return retry(reason, { atOnce: true })
    case 4002: return retry(reason, { atOnce: true, refresh: true })
    case 4008: return retry(reason, { atLeastMs: COOL_DOWN_MS, pressure: 'rate' })
    case 1009: return retry(reason, { pressure: 'size' })
    case 1008: return ending.reason === 'hello timeout' || mayPass(ending) ? retry(reason) : { then: 'denied', code, reason }
    default: return retry(reason)
  }
}

export function retry (reason: string, more: { atOnce?: boolean, atLeastMs?: number, refresh?: boolean, pressure?: Pressure } = {}): Sequel {
  return { then: 'retry', atOnce: false, atLeastMs: 0, refresh: false, pressure: null, reason, ...more }
}

/** A hello that failed for a reason without a close code of its own is closed with 1008 too: a store that is busy, for one. */
function mayPass ({ error, welcomed }: Ending): boolean {
  return !welcomed && error?.retry === true
}

/** Original servers say no more than the text (spec/session-protocol.md §5.6). */
function isRefusal ({ code, msg }: ErrorMessage): boolean {
  return code?.startsWith('unauthorized.') ?? msg.startsWith('auth: ')
}

function isExpiry ({ code, msg }: ErrorMessage): boolean {
  return code === undefined ? msg.includes('expired') : code === 'unauthorized.token_expired'
}

function textOf ({ code, reason, error, welcomed }: Ending): string {
  if (!welcomed && error !== null && error.msg !== '') return error.msg.replace(/^auth: /, '')
  return reason === '' ? `the connection was closed (${code})` : reason
}
