import type { Op, OpId, TextOp } from '../protocol/op.js'
import type { Text } from '../state/text.js'
import type { WrittenNode } from './core.js'
import { type Block, type Entry, type Run, runsOf } from './entry.js'
import type { Edit } from './typing.js'

/** Both keep a node within what every server takes in one frame (spec/client.md §11.2, C1). */
const NODE_UNITS = 8192
const NODE_DELETES = 500

export type Write = (ops: readonly Op[]) => WrittenNode

/** A character of a settled text: `index` counts tombstones too. */
interface Character { id: OpId, char: string, index: number }

/** Turns edits of a settled text into nodes, one per run, and answers what undoes them. All ids are looked up before the first write. */
export function writeEdits (write: Write, text: Text, key: string, edits: readonly Edit[]): Entry {
  const runs = edits.flatMap(({ at, inserted }) => inserted === '' ? [] : { after: at === 0 ? null : text.idAt(at - 1), inserted })
  const gone = edits.flatMap(({ at, deleted }) => charactersIn(text, at, at + deleted))
  let first = writeDeletes(write, key, gone, runs.length > 0)
  const inserted = runs.flatMap((run) => {
    const done = writeRun(write, key, run.after, run.inserted, first)
    first = []
    return done
  })
  return { kind: 'text', key, inserted, deleted: blocksOf(gone) }
}

/**
 * Writes text behind a character, which may be a tombstone. A range whose anchor is deleted goes to the end of the text (§9.2), a
 * single character stays with its predecessor: so the first one is written as such, and the range, whose first character has the
 * same id and is ignored, brings those that follow it. `first` are operations for the first node.
 */
export function writeRun (write: Write, key: string, after: OpId | null, text: string, first: readonly Op[] = []): Run[] {
  const runs: Run[] = []
  for (let from = 0; from < text.length;) {
    const piece = pieceAt(text, from)
    const { lamport, author } = write([...(from === 0 ? first : []), ...runOps(key, after, piece)])
    const length = [...piece].length
    runs.push({ author, lamport, length })
    after = { author, lamport: lamport + length - 1 }
    from += piece.length
  }
  return runs
}

function runOps (key: string, after: OpId | null, text: string): TextOp[] {
  const char = String.fromCodePoint(text.codePointAt(0) as number)
  const one: TextOp = { type: 'text-insert', key, after, char }
  if (char === text) return [one]
  return [one, { type: 'text-insert-range', key, anchor: after === null ? { at: 'start' } : { at: 'after', id: after }, text }]
}

/** What one node takes of a text, without cutting a pair. */
function pieceAt (text: string, from: number): string {
  const end = from + NODE_UNITS
  return text.slice(from, end < text.length && isTrail(text.charCodeAt(end)) ? end - 1 : end)
}

/** Writes deletions; with `keep` the last few are answered instead, for the node that follows. */
export function writeDeletes (write: Write, key: string, characters: readonly Character[], keep = false): Op[] {
  const ops = characters.map(({ id }): Op => ({ type: 'text-delete', key, target: id }))
  let done = 0
  for (; ops.length - done > (keep ? NODE_DELETES : 0); done += NODE_DELETES) write(ops.slice(done, done + NODE_DELETES))
  return ops.slice(done)
}

function charactersIn (text: Text, from: number, to: number): Character[] {
  const out: Character[] = []
  for (const char of text.slice(from, to)) {
    const id = text.idAt(from) as OpId
    out.push({ id, char, index: placeOf(text, id).index })
    from += char.length
  }
  return out
}

/** The characters of some ids that the text shows, in its order. */
export function shownOf (text: Text, ids: readonly OpId[]): Character[] {
  return ids.flatMap((id) => {
    const place = text.placeOf(id)
    if (place === null || place.length === 0) return []
    return { id, char: text.slice(place.position, place.position + place.length), index: place.index }
  }).sort((a, b) => a.index - b.index)
}

/** Characters side by side make a block: where a tombstone lies between, it may come back between. */
export function blocksOf (characters: readonly Character[]): Block[] {
  const blocks: { text: string, ids: OpId[], end: number }[] = []
  for (const { id, char, index } of characters) {
    const last = blocks.at(-1)
    if (last === undefined || last.end !== index) {
      blocks.push({ text: char, ids: [id], end: index + 1 })
      continue
    }
    last.text += char
    last.ids.push(id)
    last.end++
  }
  return blocks.map(({ text, ids }) => ({ text, runs: runsOf(ids) }))
}

function placeOf (text: Text, id: OpId): { index: number } {
  return text.placeOf(id) as { index: number }
}

/** Whether a unit is the second half of a surrogate pair. */
export const isTrail = (unit: number): boolean => (unit & 0xfc00) === 0xdc00
