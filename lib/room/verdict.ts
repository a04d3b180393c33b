import type { Code } from '../errors.js'

export interface Refused { id: Uint8Array, code: Code, message: string }

/** What became of a pack (spec/session-protocol.md §2.2). `accepted` counts new nodes; duplicates are counted beside it. */
export interface Verdict {
  incoming: number
  accepted: number
  duplicates: number
  refused: Refused[]
  /** Of those refused, the ones that are held until their parents arrive. */
  unresolved: number
}

export function emptyVerdict (incoming: number): Verdict {
  return { incoming, accepted: 0, duplicates: 0, refused: [], unresolved: 0 }
}
