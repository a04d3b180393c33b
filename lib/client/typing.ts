import type { Text } from '../state/text.js'

/** Replaces `deleted` units of the settled text from `at` on by `inserted`. */
export interface Edit { at: number, deleted: number, inserted: string }

/** More characters or separate places than these become nodes at once: both bound what an overlay costs to read. */
export const MOST_CHARACTERS = 4096
export const MOST_EDITS = 64

/**
 * What was typed since the last flush, as edits of the settled text, which stands still meanwhile. They are kept apart by at least one
 * settled character, in ascending order, and there are few of them: every call is O(MOST_EDITS). All positions are UTF-16 units and
 * never lie inside a surrogate pair.
 */
export interface Typing {
  readonly edits: readonly Edit[]
  /** How much longer the text is than the settled one. */
  readonly growth: number
  readonly full: boolean
  /** Replaces `deleted` units of the shown text at `position`. */
  splice (position: number, deleted: number, inserted: string): void
  /** Part of the shown text. */
  slice (settled: Text, from: number, to: number): string
  /** Where a position of the settled text is shown: before what was typed there, or after it. */
  toShown (position: number, after: boolean): number
}

export function createTyping (): Typing {
  const edits: Edit[] = []

  return {
    edits,
    get growth () { return edits.reduce((sum, edit) => sum + growthOf(edit), 0) },
    get full () {
      return edits.length > MOST_EDITS || edits.reduce((sum, edit) => sum + edit.deleted + edit.inserted.length, 0) > MOST_CHARACTERS
    },
    splice (position, deleted, inserted) {
      const end = position + deleted
      let first = 0
      let shift = 0
      while (first < edits.length && endOf(edits[first], shift) < position) shift += growthOf(edits[first++])
      let last = first
      let at = position - shift
      for (; last < edits.length && edits[last].at + shift <= end; last++) {
        const edit = edits[last]
        const start = edit.at + shift
        if (last === first && start <= position) {
          at = edit.at
          inserted = edit.inserted.slice(0, position - start) + inserted
        }
        if (endOf(edit, shift) >= end) inserted += edit.inserted.slice(end - start)
        shift += growthOf(edit)
      }
      const covered = last > first ? edits[last - 1] : null
      const before = covered === null ? shift : shift - growthOf(covered)
      const settledEnd = covered !== null && endOf(covered, before) >= end ? covered.at + covered.deleted : end - shift
      const merged = { at, deleted: settledEnd - at, inserted }
      edits.splice(first, last - first, ...(merged.deleted > 0 || inserted !== '' ? [merged] : []))
    },
    slice (settled, from, to) {
      let out = ''
      let done = 0
      let shift = 0
      const plain = (end: number): void => {
        const start = Math.max(from - shift, done)
        const stop = Math.min(to - shift, end)
        if (start < stop) out += settled.slice(start, stop)
      }
      for (const edit of edits) {
        const start = edit.at + shift
        if (start >= to) break
        plain(edit.at)
        out += edit.inserted.slice(Math.max(0, from - start), to - start)
        done = edit.at + edit.deleted
        shift += growthOf(edit)
      }
      plain(Infinity)
      return out
    },
    toShown (position, after) {
      let shift = 0
      for (const edit of edits) {
        if (after ? edit.at > position : edit.at >= position) break
        if (position <= edit.at + edit.deleted) return edit.at + shift + (after ? edit.inserted.length : 0)
        shift += growthOf(edit)
      }
      return position + shift
    }
  }
}

const growthOf = (edit: Edit): number => edit.inserted.length - edit.deleted

/** Where what an edit inserted ends in the shown text. */
const endOf = (edit: Edit, shift: number): number => edit.at + shift + edit.inserted.length
