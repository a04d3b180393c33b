import type { Renamed } from './translation.js'
import type { Op } from '../protocol/op.js'
import type { Change } from '../state/change.js'
import type { Views } from '../state/views.js'

/** A node as its writer knows it at once: the id is final, the signature follows later and does not enter it (spec/client.md §11.2, C9). */
export interface WrittenNode {
  id: Uint8Array
  author: Uint8Array
  lamport: number
  ops: readonly Op[]
}

/** Where a change comes from. */
export type Source = 'local' | 'remote' | 'storage' | 'rejection'

/** What caused a change; `origin` is what the caller of a transaction named. */
export interface ChangeSource { from: Source, origin?: unknown }

/** A node of one's own that the server refused; it has been taken out of the document. */
export interface Rejection {
  /** Unix milliseconds. */
  at: number
  /** Id of the refused node in hexadecimal. */
  id: string
  /** Code of the table of reasons (lib/errors.ts). */
  code: string
  message: string
  ops: readonly Op[]
  requiredCapability?: string
  /** How many of one's own later nodes were written anew without it. */
  reauthored: number
  /** Characters that live on under other ids because their nodes were written anew: `lamport .. lamport + length` of a text and where they are now. */
  renamed?: readonly Renamed[]
  /** Operations of later nodes that hung on characters of the refused one and went with it. */
  dropped?: readonly Op[]
}

/** What handles see of a replica. */
export interface Core {
  readonly views: Views
  /** Public key this instance writes with. */
  readonly author: Uint8Array
  /** Builds a node at once, applies it to the views and queues it: stored ahead of sending, then sent. `origin` goes into the change's source. */
  write (ops: readonly Op[], origin?: unknown): WrittenNode
  /** The lamport clock; the next node has `clock + 1`. */
  readonly clock: number
  /**
   * Calls `run` before anything but one's own writes changes the document (nodes of others, of storage, a refusal), so that unflushed
   * typing becomes nodes first. Returns how to stop.
   */
  beforeApply (run: () => void): () => void
  /**
   * Calls `listen` after every applied batch with what it changed, for an own write before `write` returns. Nothing may come between
   * applying and telling, no turn of the event loop either: positions that users give are those they were told. Returns how to stop.
   */
  onChange (listen: (change: Change, source: ChangeSource) => void): () => void
  /** Calls `listen` for every refused node. Returns how to stop. */
  onRejection (listen: (rejection: Rejection) => void): () => void
}
