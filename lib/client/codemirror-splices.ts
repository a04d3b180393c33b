import { ChangeSet, type Text } from '@codemirror/state'

/** One replacement, its position counted after those before it, in UTF-16 units. */
export interface Splice { readonly position: number, readonly deleted: number, readonly inserted: string }

/** An editor's changes as splices in order. */
export function splicesOf (changes: ChangeSet): Splice[] {
  const splices: Splice[] = []
  changes.iterChanges((from, to, position, _, inserted) => splices.push({ position, deleted: to - from, inserted: inserted.toString() }))
  return splices
}

/** Splices in order, on a document of `length` units, as one set of changes. Composed by halves: n splices cost O(n log n). */
export function changesOf (splices: readonly Splice[], length: number): ChangeSet {
  let sets = splices.map(({ position, deleted, inserted }) => {
    const set = ChangeSet.of({ from: position, to: position + deleted, insert: inserted }, length, '\n')
    length = set.newLength
    return set
  })
  while (sets.length > 1) sets = pairs(sets)
  return sets[0] ?? ChangeSet.empty(length)
}

function pairs (sets: readonly ChangeSet[]): ChangeSet[] {
  const composed: ChangeSet[] = []
  for (let i = 0; i < sets.length; i += 2) composed.push(i + 1 < sets.length ? sets[i].compose(sets[i + 1]) : sets[i])
  return composed
}

/** The one replacement that turns `from` into `to`, or null when they are the same. */
export function difference (from: string, to: string): { from: number, to: number, insert: string } | null {
  if (from === to) return null
  const shorter = Math.min(from.length, to.length)
  let start = 0
  while (start < shorter && from.charCodeAt(start) === to.charCodeAt(start)) start++
  let end = 0
  while (end < shorter - start && from.charCodeAt(from.length - 1 - end) === to.charCodeAt(to.length - 1 - end)) end++
  return { from: start, to: from.length - end, insert: to.slice(start, to.length - end) }
}

/** Whether a splice may have left half a surrogate pair in an editor's document. */
export function mayBeHalf (doc: Text, { position, inserted }: Splice): boolean {
  return /\p{Surrogate}/u.test(doc.sliceString(Math.max(0, position - 1), position + inserted.length + 1))
}
