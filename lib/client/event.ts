import type { Splice } from '../state/text.js'

/** Where a change comes from: this document's user, other peers, storage at start-up, a refusal by the server, or an undo manager. */
export type EventSource = 'local' | 'remote' | 'storage' | 'rejection' | 'undo'

interface Caused {
  source: EventSource
  /** What the transaction named; for `undo` the undo manager. */
  origin?: unknown
}

/** One key of the map: `path` is the whole key, `key` the part behind the namespace, or behind the last slash where none is given. */
export interface MapChange {
  path: string
  key: string
  op: 'set' | 'delete' | 'blob'
  value?: unknown
  old?: unknown
}

export interface MapEvent extends Caused { changes: readonly MapChange[] }

/** Each splice is relative to the text as the splices before it left it, in UTF-16 units. */
export interface TextEvent extends Caused { splices: readonly Splice[] }

export interface ListEvent extends Caused {
  inserted: readonly string[]
  deleted: readonly string[]
  /** Items whose content changed. */
  updated: readonly string[]
  /** Whether items that stayed stand in another order. */
  reordered: boolean
}

export interface ListChange {
  key: string
  /** Whether items or their order may have changed. */
  order: boolean
  /** Items whose content changed, whether the list shows them or not. */
  updated: readonly string[]
}

/** What one applied batch, or one transaction, changed in the document. */
export interface ChangeEvent extends Caused {
  maps: readonly MapChange[]
  texts: readonly { key: string, splices: readonly Splice[] }[]
  lists: readonly ListChange[]
}
