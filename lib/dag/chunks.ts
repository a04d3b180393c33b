/**
 * Append-only bytes in few large buffers. What was appended in one call never straddles two buffers and never moves, so views of it
 * stay valid; what was appended in sequence lies in sequence, so a run of nodes is a few views and no copy.
 */
export interface Chunks {
  readonly buffers: Uint8Array[]
  /** Bytes in use of each buffer. */
  readonly used: number[]
  /** Bytes in use of all buffers. */
  byteLength: number
}

/** The first buffer of a room: room enough for a few nodes, so that a thousand small rooms stay small. */
const FIRST_CHUNK = 1024
/** Larger buffers save no calls worth having and would leave more unused at the end of a large room. */
const LARGEST_CHUNK = 1 << 20

export function createChunks (): Chunks {
  return { buffers: [], used: [], byteLength: 0 }
}

/** Copies `bytes[start .. end)` behind what is there and returns its offset in the last buffer. */
export function appendBytes (c: Chunks, bytes: Uint8Array, start: number, end: number): number {
  const length = end - start
  let last = c.buffers.length - 1
  if (last < 0 || c.buffers[last].length - c.used[last] < length) last = grow(c, length)
  const offset = c.used[last]
  c.buffers[last].set(bytes.subarray(start, end), offset)
  c.used[last] = offset + length
  c.byteLength += length
  return offset
}

/** As much again as is held, so that at most half is unused. */
function grow (c: Chunks, length: number): number {
  const size = Math.max(length, Math.min(LARGEST_CHUNK, Math.max(FIRST_CHUNK, c.byteLength)))
  c.used.push(0)
  return c.buffers.push(new Uint8Array(size)) - 1
}
