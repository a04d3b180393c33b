import {
  type Cursor, type Writer, malformed, readOption, readString, readVarint, readVarint32, skip, skipBytes, skipChar,
  skipString, skipText, utf8Decode, writeBytes, writeRaw, writeString, writeVarint
} from './postcard.js'

/** Names one character of a text: the lamport value it was written at and its author (spec/wire-format.md §2.1). */
export interface OpId { lamport: number, author: Uint8Array }

/** Where a range operation applies (§2.3, TextRangeAnchor). Offsets count Unicode scalar values. */
export type Anchor =
  | { at: 'start' }
  | { at: 'end' }
  | { at: 'after', id: OpId }
  | { at: 'offset', offset: number }

/** One operation of a transaction (§2.3). Map values are opaque bytes; list items live in a map of the application's choice. */
export type Op =
  | { type: 'map-set', key: string, value: Uint8Array }
  | { type: 'map-delete', key: string }
  | { type: 'map-set-blob', key: string, hash: Uint8Array }
  | { type: 'list-insert', key: string, item: Uint8Array, position: string }
  | { type: 'list-delete', key: string, item: Uint8Array }
  | { type: 'list-move', key: string, item: Uint8Array, position: string }
  | { type: 'text-insert', key: string, after: OpId | null, char: string }
  | { type: 'text-delete', key: string, target: OpId }
  | { type: 'text-insert-range', key: string, anchor: Anchor, text: string }
  | { type: 'text-delete-range', key: string, anchor: Anchor, count: number }

export type TextOp = Extract<Op, { type: `text-${string}` }>
export type ListOp = Extract<Op, { type: `list-${string}` }>
export type MapOp = Extract<Op, { type: `map-${string}` }>

const FAMILY = { map: 0, list: 1, text: 2 } as const
const ITEM_LENGTH = 16

/** What the server needs to know of an operation without building it. `hash` is where the blob hash of a SetBlob starts, else -1. */
export interface OpShape { key: number, keyEnd: number, extra: number, kind: number, hash: number }

/** `family * 4 + variant`, the number under which `OpShape.kind` names an operation. */
export const KIND = { mapSet: 0, mapDelete: 1, mapSetBlob: 2, textInsertRange: 10 } as const

/**
 * Moves past one operation and checks it completely. Fills `shape` instead of returning an object: a pack of 100,000 operations is
 * scanned without allocating. `extra` is the number of lamport values a range insert takes beyond the first (§5.1).
 */
export function skipOp (c: Cursor, shape: OpShape): void {
  const family = readVarint32(c)
  const variant = readVarint32(c)
  shape.key = skipText(c)
  shape.keyEnd = c.pos
  shape.extra = 0
  shape.hash = -1
  shape.kind = family * 4 + variant
  if (family === FAMILY.map) skipMapOp(c, variant, shape)
  else if (family === FAMILY.list) skipListOp(c, variant)
  else if (family === FAMILY.text) skipTextOp(c, variant, shape)
  else throw malformed('unknown operation family')
}

function skipMapOp (c: Cursor, variant: number, shape: OpShape): void {
  if (variant === 0) skipBytes(c)
  else if (variant === 2) shape.hash = skip(c, 32)
  else if (variant !== 1) throw malformed('unknown map operation')
}

function skipListOp (c: Cursor, variant: number): void {
  if (variant > 2) throw malformed('unknown list operation')
  skip(c, ITEM_LENGTH)
  if (variant !== 1) skipString(c)
}

function skipTextOp (c: Cursor, variant: number, shape: OpShape): void {
  switch (variant) {
    case 0:
      if (readOption(c)) skipOpId(c)
      skipChar(c)
      break
    case 1:
      skipOpId(c)
      break
    case 2:
      skipAnchor(c)
      shape.extra = Math.max(0, skipString(c) - 1)
      break
    case 3:
      skipAnchor(c)
      readVarint(c)
      break
    default:
      throw malformed('unknown text operation')
  }
}

function skipOpId (c: Cursor): void {
  readVarint(c)
  skip(c, 32)
}

function skipAnchor (c: Cursor): void {
  const variant = readVarint32(c)
  if (variant === 2) skipOpId(c)
  else if (variant === 3) readVarint(c)
  else if (variant > 3) throw malformed('unknown anchor')
}

/** Reads one operation into an object. Byte fields are views of the cursor's bytes. */
export function readOp (c: Cursor): Op {
  const family = readVarint32(c)
  const variant = readVarint32(c)
  const key = readString(c)
  if (family === FAMILY.map) return readMapOp(c, variant, key)
  if (family === FAMILY.list) return readListOp(c, variant, key)
  if (family === FAMILY.text) return readTextOp(c, variant, key)
  throw malformed('unknown operation family')
}

function view (c: Cursor, length: number): Uint8Array {
  const start = skip(c, length)
  return c.bytes.subarray(start, c.pos)
}

function readMapOp (c: Cursor, variant: number, key: string): Op {
  if (variant === 0) {
    const start = skipBytes(c)
    return { type: 'map-set', key, value: c.bytes.subarray(start, c.pos) }
  }
  if (variant === 1) return { type: 'map-delete', key }
  if (variant === 2) return { type: 'map-set-blob', key, hash: view(c, 32) }
  throw malformed('unknown map operation')
}

function readListOp (c: Cursor, variant: number, key: string): Op {
  if (variant > 2) throw malformed('unknown list operation')
  const item = view(c, ITEM_LENGTH)
  if (variant === 1) return { type: 'list-delete', key, item }
  return { type: variant === 0 ? 'list-insert' : 'list-move', key, item, position: readString(c) }
}

function readTextOp (c: Cursor, variant: number, key: string): Op {
  switch (variant) {
    case 0: return { type: 'text-insert', key, after: readOption(c) ? readOpId(c) : null, char: readChar(c) }
    case 1: return { type: 'text-delete', key, target: readOpId(c) }
    case 2: return { type: 'text-insert-range', key, anchor: readAnchor(c), text: readString(c) }
    case 3: return { type: 'text-delete-range', key, anchor: readAnchor(c), count: readVarint(c) }
    default: throw malformed('unknown text operation')
  }
}

function readChar (c: Cursor): string {
  const start = skipChar(c)
  const [char] = utf8Decode(c.bytes, start, c.pos)
  return char
}

function readOpId (c: Cursor): OpId {
  return { lamport: readVarint(c), author: view(c, 32) }
}

function readAnchor (c: Cursor): Anchor {
  const variant = readVarint32(c)
  if (variant === 0) return { at: 'start' }
  if (variant === 1) return { at: 'end' }
  if (variant === 2) return { at: 'after', id: readOpId(c) }
  if (variant === 3) return { at: 'offset', offset: readVarint(c) }
  throw malformed('unknown anchor')
}

function tag (w: Writer, family: number, variant: number, key: string): void {
  writeVarint(w, family)
  writeVarint(w, variant)
  writeString(w, key)
}

function writeOpId (w: Writer, id: OpId): void {
  writeVarint(w, id.lamport)
  writeRaw(w, fixed(id.author, 32, 'an author'))
}

function writeAnchor (w: Writer, anchor: Anchor): void {
  switch (anchor.at) {
    case 'start': writeVarint(w, 0); break
    case 'end': writeVarint(w, 1); break
    case 'after': writeVarint(w, 2); writeOpId(w, anchor.id); break
    case 'offset': writeVarint(w, 3); writeLength(w, anchor.offset); break
  }
}

/** A count of characters. Peers built for 32 bits refuse the whole pack above 2^32-1 (§2.3). */
function writeLength (w: Writer, n: number): void {
  if (n > 0xffffffff) throw new RangeError('a text length is at most 2^32-1')
  writeVarint(w, n)
}

export function fixed (bytes: Uint8Array, length: number, what: string): Uint8Array {
  if (bytes.length !== length) throw new RangeError(`${what} has ${length} bytes`)
  return bytes
}

/** Writes one operation. Throws RangeError for a value the format cannot carry. */
export function writeOp (w: Writer, op: Op): void {
  switch (op.type) {
    case 'map-set': tag(w, 0, 0, op.key); writeBytes(w, op.value); break
    case 'map-delete': tag(w, 0, 1, op.key); break
    case 'map-set-blob': tag(w, 0, 2, op.key); writeRaw(w, fixed(op.hash, 32, 'a blob hash')); break
    case 'list-insert': tag(w, 1, 0, op.key); writeListItem(w, op); break
    case 'list-delete': tag(w, 1, 1, op.key); writeRaw(w, fixed(op.item, ITEM_LENGTH, 'an item id')); break
    case 'list-move': tag(w, 1, 2, op.key); writeListItem(w, op); break
    default: writeTextOp(w, op)
  }
}

function writeListItem (w: Writer, op: { item: Uint8Array, position: string }): void {
  writeRaw(w, fixed(op.item, ITEM_LENGTH, 'an item id'))
  writeString(w, op.position)
}

function writeTextOp (w: Writer, op: TextOp): void {
  switch (op.type) {
    case 'text-insert':
      tag(w, 2, 0, op.key)
      writeVarint(w, op.after === null ? 0 : 1)
      if (op.after !== null) writeOpId(w, op.after)
      if ([...op.char].length !== 1) throw new RangeError('a char is one Unicode scalar value')
      writeString(w, op.char)
      break
    case 'text-delete': tag(w, 2, 1, op.key); writeOpId(w, op.target); break
    case 'text-insert-range': tag(w, 2, 2, op.key); writeAnchor(w, op.anchor); writeString(w, op.text); break
    case 'text-delete-range': tag(w, 2, 3, op.key); writeAnchor(w, op.anchor); writeLength(w, op.count); break
  }
}

/** Lamport values an operation takes beyond the first one of its transaction (§5.1). */
export function extraLamports (op: Op): number {
  if (op.type !== 'text-insert-range') return 0
  let scalars = op.text.length
  for (let i = 0; i < op.text.length; i++) if ((op.text.charCodeAt(i) & 0xfc00) === 0xdc00) scalars--
  return Math.max(0, scalars - 1)
}
