/** What the host says about a peer (design §6). `Context` is whatever the host wants to find again in its other callbacks. */
export interface Identity<Context = unknown> {
  /** The host's name for the user; appears in logs. */
  subject: string
  /** Control-plane capabilities, such as `policy.admin` (spec/wire-format.md §13.4). */
  capabilities?: readonly string[]
  /** When the session ends with 4002 `token expired`. */
  expiresAt?: Date
  context?: Context
}

/** A "no" with a reason that is shown to the peer. */
export interface Refusal { refused: string }

export type Awaitable<T> = T | Promise<T>

/** What a session is about to do, as `authorize` sees it. */
export type Action =
  | { type: 'open' }
  | { type: 'read', patterns: readonly string[] }
  | { type: 'write', keys: readonly string[], author: string }
  | { type: 'blob', op: 'read' | 'write', hash: string }
  | { type: 'command', command: string }

/** What `authorize` may know of the session. */
export interface Asker<Context = unknown> {
  room: string
  /** The public key the session claims, as sent. It is not proven (spec/session-protocol.md §9 B7). */
  pubkey: string
  peerId: string
  peerType: string
  /** What `authenticate` answered; null without that option. */
  identity: Identity<Context> | null
}

export function isRefusal (answer: unknown): answer is Refusal {
  return typeof answer === 'object' && answer !== null && 'refused' in answer
}
