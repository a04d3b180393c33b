import { NodalmergeError } from '../errors.js'

/**
 * Postcard, the subset in use (spec/wire-format.md §1): varints, byte strings, UTF-8 strings, options.
 * Reading works on a cursor over the received bytes; nothing is copied and no length is trusted before it is compared with
 * what is left. Non-canonical spellings (§1.3) are accepted and make the cursor `loose`; whoever hashes what was read then reads it
 * once more with a `copy`. Nothing is noted per spelling: a frame may hold twenty million of them.
 */
export interface Cursor {
  bytes: Uint8Array
  pos: number
  end: number
  /** Whether a spelling differed from the canonical encoding. Never for honest peers. */
  loose: boolean
  /** Where the canonical spelling of everything read goes; null when nobody needs it. */
  copy: Copy | null
}

/** A canonical copy in the making: `bytes[from .. pos)` of the cursor is still to be written. */
export interface Copy { to: Writer, from: number }

export function cursor (bytes: Uint8Array, pos = 0, end = bytes.length, copy: Copy | null = null): Cursor {
  return { bytes, pos, end, loose: false, copy }
}

/** Replaces what was read since `start` by its canonical spelling. */
function respell (c: Cursor, start: number, canonical: Uint8Array): void {
  c.loose = true
  if (c.copy === null) return
  writeRaw(c.copy.to, c.bytes.subarray(c.copy.from, start))
  writeRaw(c.copy.to, canonical)
  c.copy.from = c.pos
}

/** The text is fixed by the protocol (spec/session-protocol.md §6.2); `what` is for the log. */
export function malformed (what: string): NodalmergeError {
  return new NodalmergeError('reject.protocol_invalid_message', 'invalid pack: bad postcard', { cause: what })
}

/** Moves past `length` bytes and returns where they start. */
export function skip (c: Cursor, length: number): number {
  const start = c.pos
  if (length > c.end - start) throw malformed('truncated')
  c.pos = start + length
  return start
}

/**
 * Reads an unsigned varint of up to 64 bits. Values above 2^53 come back rounded: every field that may carry one is compared with
 * a bound far below and refused, and stored bytes are never rebuilt from the number.
 */
export function readVarint (c: Cursor): number {
  const first = c.pos < c.end ? c.bytes[c.pos] : truncated()
  if (first < 0x80) { c.pos++; return first }
  return respellVarint(c, 10, 1)
}

/** Reads an unsigned varint of up to 32 bits (enum indices). */
export function readVarint32 (c: Cursor): number {
  const first = c.pos < c.end ? c.bytes[c.pos] : truncated()
  if (first < 0x80) { c.pos++; return first }
  return respellVarint(c, 5, 15)
}

function truncated (): never {
  throw malformed('truncated')
}

function respellVarint (c: Cursor, longest: number, lastMax: number): number {
  const start = c.pos
  const value = readLongVarint(c, longest, lastMax)
  if (c.bytes[c.pos - 1] === 0) respell(c, start, shortest(c.bytes, start, c.pos))
  return value
}

/** Reads a varint of at most `longest` bytes, the last of them at most `lastMax`, in whatever spelling. */
function readLongVarint (c: Cursor, longest: number, lastMax: number): number {
  const start = c.pos
  let value = 0
  let scale = 1
  for (let i = 0; i < longest; i++) {
    const byte = start + i < c.end ? c.bytes[start + i] : truncated()
    value += (byte & 0x7f) * scale
    scale *= 128
    if (byte < 0x80) {
      if (i === longest - 1 && byte > lastMax) break
      c.pos = start + i + 1
      return value
    }
  }
  throw malformed('varint too long')
}

/** The same varint without its zero padding. */
function shortest (bytes: Uint8Array, start: number, end: number): Uint8Array {
  let length = end - start
  while (length > 1 && (bytes[start + length - 1] & 0x7f) === 0) length--
  const copy = bytes.slice(start, start + length)
  copy[length - 1] &= 0x7f
  return copy
}

/** Reads a length and moves past that many bytes; the bytes are `bytes[start .. c.pos)`. Returns `start`. */
export function skipBytes (c: Cursor): number {
  return skip(c, readVarint(c))
}

/** Moves past a string, checks its UTF-8 and returns its number of Unicode scalar values. */
export function skipString (c: Cursor): number {
  const start = skipBytes(c)
  const scalars = countScalars(c.bytes, start, c.pos)
  if (scalars < 0) throw malformed('not UTF-8')
  return scalars
}

/** Moves past a string, checks its UTF-8 and returns where its bytes start; they end at `c.pos`. */
export function skipText (c: Cursor): number {
  const start = skipBytes(c)
  if (countScalars(c.bytes, start, c.pos) < 0) throw malformed('not UTF-8')
  return start
}

export function readString (c: Cursor): string {
  const start = skipBytes(c)
  return utf8Decode(c.bytes, start, c.pos)
}

export function readOption (c: Cursor): boolean {
  const tag = c.bytes[skip(c, 1)]
  if (tag > 1) throw malformed('bad option')
  return tag === 1
}

/**
 * Moves past a `char` (a string of one scalar) and returns where its UTF-8 starts. A longer string of at most four bytes keeps its
 * first scalar only (§1.3), which is a non-canonical spelling.
 */
export function skipChar (c: Cursor): number {
  const start = c.pos
  const length = readLongVarint(c, 10, 1)
  if (length > 4 || length === 0) throw malformed('bad char')
  const lengthEnd = c.pos
  const text = skip(c, length)
  if (countScalars(c.bytes, text, c.pos) < 0) throw malformed('not UTF-8')
  const one = scalarLength(c.bytes[text])
  if (one === length && lengthEnd === start + 1) return text
  respell(c, start, Uint8Array.of(one, ...c.bytes.subarray(text, text + one)))
  return text
}

function scalarLength (lead: number): number {
  return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
}

/** Number of Unicode scalar values in `bytes[start..end)`, or -1 when they are not UTF-8 (surrogates and over-long forms included). */
export function countScalars (bytes: Uint8Array, start: number, end: number): number {
  let count = 0
  let i = start
  while (i < end) {
    const lead = bytes[i]
    if (lead < 0x80) {
      i++
    } else {
      const length = sequenceLength(bytes, i, end)
      if (length === 0) return -1
      i += length
    }
    count++
  }
  return count
}

/** Length of the well-formed multi-byte sequence at `i`, or 0 (Unicode 15, table 3-7). */
function sequenceLength (bytes: Uint8Array, i: number, end: number): number {
  const lead = bytes[i]
  const length = lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0
  if (length === 0 || i + length > end) return 0
  const second = bytes[i + 1]
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf
  if (second < low || second > high) return 0
  for (let k = 2; k < length; k++) if ((bytes[i + k] & 0xc0) !== 0x80) return 0
  return length
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/** Strict UTF-8 to string; short ASCII, which nearly every key and keystroke is, skips the decoder. */
export function utf8Decode (bytes: Uint8Array, start: number, end: number): string {
  if (end - start <= 24) {
    let text = ''
    for (let i = start; i < end; i++) {
      if (bytes[i] >= 0x80) return decodeLong(bytes, start, end)
      text += String.fromCharCode(bytes[i])
    }
    return text
  }
  return decodeLong(bytes, start, end)
}

function decodeLong (bytes: Uint8Array, start: number, end: number): string {
  try {
    return decoder.decode(bytes.subarray(start, end))
  } catch {
    throw malformed('not UTF-8')
  }
}

export function utf8Encode (text: string): Uint8Array {
  return encoder.encode(text)
}

/** A growing output buffer. `take` returns what was written as a view that later writes do not touch. */
export interface Writer { bytes: Uint8Array, pos: number }

export function writer (capacity = 256): Writer {
  return { bytes: new Uint8Array(capacity), pos: 0 }
}

const NOTHING = new Uint8Array(0)

export function take (w: Writer): Uint8Array {
  const view = w.bytes.subarray(0, w.pos)
  w.bytes = NOTHING
  w.pos = 0
  return view
}

function reserve (w: Writer, length: number): void {
  if (w.pos + length <= w.bytes.length) return
  const grown = new Uint8Array(Math.max(w.bytes.length * 2, w.pos + length, 64))
  grown.set(w.bytes.subarray(0, w.pos))
  w.bytes = grown
}

/** Writes an unsigned varint; `n` is a non-negative safe integer. */
export function writeVarint (w: Writer, n: number): void {
  if (!Number.isSafeInteger(n) || n < 0) throw new RangeError('a varint is a non-negative safe integer')
  reserve(w, 8)
  while (n >= 0x80) {
    w.bytes[w.pos++] = (n % 128) | 0x80
    n = Math.floor(n / 128)
  }
  w.bytes[w.pos++] = n
}

/** Bytes without a length (fixed-size arrays). */
export function writeRaw (w: Writer, bytes: Uint8Array): void {
  reserve(w, bytes.length)
  w.bytes.set(bytes, w.pos)
  w.pos += bytes.length
}

export function writeBytes (w: Writer, bytes: Uint8Array): void {
  writeVarint(w, bytes.length)
  writeRaw(w, bytes)
}

/** A string; lone surrogates are refused, because UTF-8 cannot carry them (§20). */
export function writeString (w: Writer, text: string): void {
  if (text.length <= 24 && writeAscii(w, text)) return
  if (!wellFormed(text)) throw new RangeError('a string must not hold a lone surrogate')
  writeBytes(w, encoder.encode(text))
}

function writeAscii (w: Writer, text: string): boolean {
  reserve(w, text.length + 1)
  const start = w.pos
  w.bytes[w.pos++] = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit >= 0x80) { w.pos = start; return false }
    w.bytes[w.pos++] = unit
  }
  return true
}

function wellFormed (text: string): boolean {
  return !/\p{Surrogate}/u.test(text)
}

export function varintLength (n: number): number {
  let length = 1
  while (n >= 0x80) { n = Math.floor(n / 128); length++ }
  return length
}
