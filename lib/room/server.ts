import type { Blake3 } from '../protocol/blake3.js'
import type { Signer, Verifier } from '../protocol/crypto.js'
import type { ClientMessage } from '../protocol/message.js'
import type { BlobStore } from '../store/blob-store.js'
import type { NodeStore } from '../store/node-store.js'
import type { Clock } from '../clock.js'
import type { Committer } from './commit.js'
import type { Limits } from './limits.js'
import type { Patience } from './patience.js'
import type { Staged } from './placement.js'
import type { Quotas } from './quota.js'
import type { Action, Asker, Awaitable, Identity, Refusal } from './rights.js'
import type { Rooms } from './rooms.js'
import type { Source } from './source.js'
import type { Turn } from './turn.js'

/** The part of Pino that is used. */
export interface Log {
  debug (about: object, text: string): void
  info (about: object, text: string): void
  warn (about: object, text: string): void
  error (about: object, text: string): void
}

export type Hello = Extract<ClientMessage, { type: 'hello' }>

/** Everything rooms and sessions share in one registration of the plugin; handed in, never imported. */
export interface Server {
  readonly blake3: Blake3
  readonly verifier: Verifier
  readonly signer: Signer
  readonly store: NodeStore
  readonly blobs: BlobStore
  readonly committer: Committer<Staged>
  readonly clock: Clock
  readonly turn: Turn
  readonly limits: Limits
  readonly log: Log
  readonly quotas: Quotas
  /** Delays for peers whose authentication failed. */
  readonly patience: Patience
  readonly rooms: Rooms
  /** What the server itself writes or reads back. */
  readonly source: Source
  /** `durability: 'relaxed'`: relay before the commit. */
  readonly relaxed: boolean
  /** `readScope: 'global'`: a blob may be read from any room. */
  readonly globalBlobs: boolean
  readonly operatorKey: Uint8Array | null
  readonly authenticate: ((request: unknown, hello: Hello) => Awaitable<Identity | Refusal>) | null
  readonly authorize: ((asker: Asker, action: Action) => Awaitable<true | Refusal>) | null
}
