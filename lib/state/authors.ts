import { grown } from './columns.js'

const KEY = 32

/**
 * Interned author keys: state keeps a small number instead of 32 bytes per operation. One table serves all keys of a document.
 * Lookup is open addressing over the key's leading bytes, which are evenly spread in honest keys.
 */
export interface Authors {
  keys: Uint8Array
  count: number
  /** Number + 1 of the author at each place, 0 where the place is free. */
  places: Uint32Array
}

export function createAuthors (): Authors {
  return { keys: new Uint8Array(8 * KEY), count: 0, places: new Uint32Array(16) }
}

function leading (key: Uint8Array, at: number): number {
  return Math.imul((key[at] | key[at + 1] << 8 | key[at + 2] << 16 | key[at + 3] << 24) ^ key[at + 31], 0x9e3779b1) >>> 0
}

function same (a: Authors, author: number, key: Uint8Array): boolean {
  const at = author * KEY
  for (let i = 0; i < KEY; i++) if (a.keys[at + i] !== key[i]) return false
  return true
}

/** The number of an author, a new one at first sight; the 32 bytes are copied. */
export function internAuthor (a: Authors, key: Uint8Array): number {
  const mask = a.places.length - 1
  let place = leading(key, 0) & mask
  while (a.places[place] !== 0) {
    if (same(a, a.places[place] - 1, key)) return a.places[place] - 1
    place = (place + 1) & mask
  }
  a.keys = grown(a.keys, (a.count + 1) * KEY)
  a.keys.set(key, a.count * KEY)
  a.places[place] = ++a.count
  if (a.count * 2 > a.places.length) rehash(a)
  return a.count - 1
}

function rehash (a: Authors): void {
  a.places = new Uint32Array(a.places.length * 2)
  const mask = a.places.length - 1
  for (let author = 0; author < a.count; author++) {
    let place = leading(a.keys, author * KEY) & mask
    while (a.places[place] !== 0) place = (place + 1) & mask
    a.places[place] = author + 1
  }
}

/** The 32 bytes of an author; a copy, safe to keep. */
export function authorBytes (a: Authors, author: number): Uint8Array {
  return a.keys.slice(author * KEY, author * KEY + KEY)
}

/** Byte order of two authors (spec/wire-format.md §2.1). */
export function compareAuthors (a: Authors, left: number, right: number): number {
  if (left === right) return 0
  const keys = a.keys
  let i = left * KEY
  let j = right * KEY
  while (keys[i] === keys[j]) { i++; j++ }
  return keys[i] - keys[j]
}
