import { ID_LENGTH } from '../protocol/node.js'
import type { Anchor, TextOp } from '../protocol/op.js'
import { type Authors, compareAuthors, internAuthor } from './authors.js'
import { grown } from './columns.js'
import { NOWHERE, type Sequence } from './sequence.js'

/** What the state layer needs to know of a node besides its operations. */
export interface NodeKey {
  /** 32 bytes; read during the call only. */
  id: Uint8Array
  /** 32 bytes; read during the call only. */
  author: Uint8Array
  lamport: number
}

/**
 * The operations on one text in order of arrival, in columns. An inserting operation owns the slots `slot .. slot + count`, whose
 * scalars lie in the sequence; a deleting one owns none, its `slot` is where the next slots start.
 */
export interface Records {
  used: number
  slots: number
  lamport: Float64Array
  author: Uint32Array
  /** Which operation, and where its anchor lies: `OP | ANCHOR`, with MORE when it belongs to the same node as the one before. */
  kind: Uint8Array
  /** Lamport of the anchor or target id, or the offset of an offset anchor. */
  anchorLamport: Float64Array
  anchorAuthor: Uint32Array
  slot: Uint32Array
  /** Scalars inserted, or the greatest number to delete. */
  count: Uint32Array
  /** 32 bytes of node id per record: they decide between nodes of equal lamport and author. */
  ids: Uint8Array
}

export const OP = { insert: 0, delete: 1, insertRange: 2, deleteRange: 3, mask: 3 } as const
export const ANCHOR = { start: 0, end: 4, after: 8, offset: 12, mask: 12 } as const
export const MORE = 16

export const isInsert = (kind: number): boolean => (kind & OP.mask) === OP.insert || (kind & OP.mask) === OP.insertRange

const MOST = 0xffffffff

export function createRecords (): Records {
  return {
    used: 0,
    slots: 0,
    lamport: new Float64Array(16),
    author: new Uint32Array(16),
    kind: new Uint8Array(16),
    anchorLamport: new Float64Array(16),
    anchorAuthor: new Uint32Array(16),
    slot: new Uint32Array(16),
    count: new Uint32Array(16),
    ids: new Uint8Array(16 * ID_LENGTH)
  }
}

function grow (r: Records): void {
  const needed = r.used + 1
  r.lamport = grown(r.lamport, needed)
  r.author = grown(r.author, needed)
  r.kind = grown(r.kind, needed)
  r.anchorLamport = grown(r.anchorLamport, needed)
  r.anchorAuthor = grown(r.anchorAuthor, needed)
  r.slot = grown(r.slot, needed)
  r.count = grown(r.count, needed)
  r.ids = grown(r.ids, needed * ID_LENGTH)
}

/** Adds one operation and the scalars it inserts. Returns its number. */
export function addRecord (r: Records, s: Sequence, authors: Authors, node: NodeKey, author: number, op: TextOp, more: boolean): number {
  const record = r.used
  if (record === r.kind.length) grow(r)
  r.lamport[record] = node.lamport
  r.author[record] = author
  const id = node.id
  for (let i = 0, at = record * ID_LENGTH; i < ID_LENGTH; i++) r.ids[at + i] = id[i]
  r.slot[record] = r.slots
  r.kind[record] = describe(r, s, authors, record, op) | (more ? MORE : 0)
  return r.used++
}

function describe (r: Records, s: Sequence, authors: Authors, record: number, op: TextOp): number {
  switch (op.type) {
    case 'text-insert-range':
      r.count[record] = addScalars(r, s, op.text)
      return OP.insertRange | anchor(r, authors, record, op.anchor)
    case 'text-delete-range':
      r.count[record] = Math.min(op.count, MOST)
      return OP.deleteRange | anchor(r, authors, record, op.anchor)
    case 'text-insert':
      r.count[record] = addScalars(r, s, op.char)
      return OP.insert | (op.after === null ? ANCHOR.start : anchor(r, authors, record, { at: 'after', id: op.after }))
    case 'text-delete':
      return OP.delete | anchor(r, authors, record, { at: 'after', id: op.target })
  }
}

function anchor (r: Records, authors: Authors, record: number, at: Anchor): number {
  switch (at.at) {
    case 'after':
      r.anchorLamport[record] = at.id.lamport
      r.anchorAuthor[record] = internAuthor(authors, at.id.author)
      return ANCHOR.after
    case 'offset':
      r.anchorLamport[record] = at.offset
      return ANCHOR.offset
    case 'start': return ANCHOR.start
    case 'end': return ANCHOR.end
  }
}

function addScalars (r: Records, s: Sequence, text: string): number {
  const first = r.slots
  if (first + text.length > s.code.length) {
    s.code = grown(s.code, first + text.length)
    s.leaf = grown(s.leaf, first + text.length)
  }
  for (let i = 0; i < text.length;) {
    const code = text.codePointAt(i) as number
    s.code[r.slots++] = code
    i += code > 0xffff ? 2 : 1
  }
  s.leaf.fill(NOWHERE, first, r.slots)
  return r.slots - first
}

/** Record that owns a slot. */
export function recordOf (r: Records, slot: number): number {
  let low = 0
  let high = r.used - 1
  while (low < high) {
    const middle = low + high + 1 >>> 1
    if (r.slot[middle] <= slot) low = middle
    else high = middle - 1
  }
  return low
}

/** Canonical order of a node and a record (§9.4): lamport, author bytes, node id bytes. 0 only for the same node. */
export function compareKey (r: Records, authors: Authors, lamport: number, author: number, id: Uint8Array, from: number, record: number): number {
  if (lamport !== r.lamport[record]) return lamport - r.lamport[record]
  if (author !== r.author[record]) return compareAuthors(authors, author, r.author[record])
  for (let i = from, at = record * ID_LENGTH, end = from + ID_LENGTH; i < end; i++, at++) if (id[i] !== r.ids[at]) return id[i] - r.ids[at]
  return 0
}

export function compareRecords (r: Records, authors: Authors, left: number, right: number): number {
  return compareKey(r, authors, r.lamport[left], r.author[left], r.ids, left * ID_LENGTH, right)
}
