import type { Held } from '../state/map.js'
import type { OpId } from '../protocol/op.js'

/** Characters with ids that follow one another: `lamport .. lamport + length`, in scalars. */
export interface Run { author: Uint8Array, lamport: number, length: number }

/** Characters that stood side by side, tombstones counted, until they were deleted. The runs cover the text's scalars in order. */
export interface Block { text: string, runs: Run[] }

/** Where an item stood: its neighbours, null at an end, and its position as the last resort. */
export interface Place { left: string | null, right: string | null, position: string }

/** What one local write did, with what it takes to undo it. */
export type Entry =
  | { kind: 'map', key: string, before: Held, after: Held }
  | { kind: 'text', key: string, inserted: Run[], deleted: Block[] }
  | { kind: 'list-insert', key: string, item: string }
  | { kind: 'list-delete', key: string, item: string, content: Held, place: Place }
  | { kind: 'list-move', key: string, item: string, place: Place }
  | { kind: 'list-content', key: string, item: string, before: Held, after: Held }

export const idsOf = ({ author, lamport, length }: Run): OpId[] => Array.from({ length }, (_, i) => ({ author, lamport: lamport + i }))

/** Ids as runs. */
export function runsOf (ids: readonly OpId[]): Run[] {
  const runs: Run[] = []
  for (const { author, lamport } of ids) {
    const last = runs.at(-1)
    if (last !== undefined && last.lamport + last.length === lamport && sameAuthor(last.author, author)) last.length++
    else runs.push({ author, lamport, length: 1 })
  }
  return runs
}

function sameAuthor (a: Uint8Array, b: Uint8Array): boolean {
  return a === b || a.every((byte, i) => byte === b[i])
}
