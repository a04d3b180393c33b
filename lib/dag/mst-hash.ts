import { type Blake3, HASH_LENGTH } from '../protocol/blake3.js'
import { utf8Encode } from '../protocol/postcard.js'

/** The keys of the trie's leaf and inner hashes (spec/wire-format.md §11), to be prepared with `loadBlake3([...MST_KEYS])`. */
export const MST_KEYS: readonly Uint8Array[] = ['nodalmerge-mst-leaf-000000000000', 'nodalmerge-mst-internal-00000000'].map(utf8Encode)

/** Hash of the empty set, and what stands for an absent child. */
export const EMPTY_HASH: Uint8Array = new Uint8Array(HASH_LENGTH)

/** A path as deep as an id has digits. */
export const DEEPEST = 64

export interface TrieHashes {
  /** Hash of a set of one. */
  leaf (id: Uint8Array): Uint8Array
  /** Hash of a set of several from the hashes of its sixteen parts, null for an empty one. */
  inner (parts: readonly (Uint8Array | null)[]): Uint8Array
}

export function createTrieHashes (blake3: Blake3): TrieHashes {
  const [leaf, inner] = MST_KEYS.map((key) => blake3.keyed(key))
  const whole = new Uint8Array(16 * HASH_LENGTH)
  return {
    leaf,
    inner (parts) {
      for (let digit = 0; digit < 16; digit++) whole.set(parts[digit] ?? EMPTY_HASH, digit * HASH_LENGTH)
      return inner(whole)
    }
  }
}

/** The hex digit of an id at a depth, the high half of a byte first. */
export function digitAt (id: Uint8Array, depth: number): number {
  const byte = id[depth >> 1]
  return (depth & 1) === 0 ? byte >> 4 : byte & 15
}

/** Ids by the digit at a depth. */
export function split (ids: readonly Uint8Array[], depth: number): Uint8Array[][] {
  const parts: Uint8Array[][] = Array.from({ length: 16 }, () => [])
  for (const id of ids) parts[digitAt(id, depth)].push(id)
  return parts
}

/** Hash of the distinct ids, which share their first `depth` digits; null for none. A set of one has the same hash at any depth. */
export function setHash (ids: readonly Uint8Array[], depth: number, hashes: TrieHashes): Uint8Array | null {
  if (ids.length === 0) return null
  if (ids.length === 1) return hashes.leaf(ids[0])
  return hashes.inner(split(ids, depth).map((part) => setHash(part, depth + 1, hashes)))
}
