import type { TextOrder } from './text-order.js'

/** Replaces `deleted` units at `position` by `inserted`; all in UTF-16 units. */
export interface Splice { position: number, deleted: number, inserted: string }

export interface TextChanges {
  /** Called before records from `from` on are undone. */
  beforeRewind (from: number): void
  /** What has changed since the last call. */
  take (): Splice[]
}

export function createTextChanges (order: TextOrder): TextChanges {
  return { beforeRewind () {}, take: () => [] }
}
