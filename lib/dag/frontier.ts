import type { Blake3 } from '../protocol/blake3.js'
import { concat, sortedIds } from '../protocol/bytes.js'
import { fromHexList, toHex } from '../protocol/hex.js'
import { ID_LENGTH, count } from '../protocol/node.js'
import { cursor, skip, take, writeRaw, writeVarint, writer } from '../protocol/postcard.js'

/** The binary frontier: a count and the heads, ascending and without repeats (spec/wire-format.md §6). */
export function encodeFrontier (heads: readonly Uint8Array[]): Uint8Array {
  const sorted = sortedIds(heads)
  const w = writer(10 + ID_LENGTH * sorted.length)
  writeVarint(w, sorted.length)
  for (const head of sorted) writeRaw(w, head)
  return take(w)
}

/**
 * Heads of a binary frontier as views, ascending and without repeats. Bytes after the last head are ignored (§1.3). Throws
 * `reject.protocol_invalid_message` when the input is shorter than its count says.
 */
export function decodeFrontier (bytes: Uint8Array): Uint8Array[] {
  const c = cursor(bytes)
  const length = count(c, ID_LENGTH)
  const heads = Array.from({ length }, () => {
    const start = skip(c, ID_LENGTH)
    return bytes.subarray(start, c.pos)
  })
  return sortedIds(heads)
}

/** The JSON frontier: lower-case hexadecimal, ascending. */
export function formatFrontier (heads: readonly Uint8Array[]): string[] {
  return sortedIds(heads).map(toHex)
}

/** Heads of a JSON frontier, ascending and without repeats; what is not 64 hex digits is skipped, what is no array is empty. */
export function parseFrontier (list: unknown): Uint8Array[] {
  return sortedIds(fromHexList(list))
}

/** BLAKE3 over the heads in ascending order (§6). Equal roots mean equal histories, because ids commit to parents. */
export function merkleRoot (heads: readonly Uint8Array[], blake3: Blake3): Uint8Array {
  return blake3.hash(concat(sortedIds(heads)))
}
