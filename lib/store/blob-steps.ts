import { setImmediate as turn } from 'node:timers/promises'
import { createBLAKE3 } from 'hash-wasm'
import { NodalmergeError } from '../errors.js'

/** Bytes worked on before other work gets its turn: about 0.3 ms of hashing, 1 ms with decoding. */
const SHARE = 256 * 1024

/** Yields the same bytes in pieces of at most 256 KiB and lets the event loop turn after each 256 KiB, however they arrive. */
export async function * inSteps (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let share = SHARE
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      const piece = chunk.subarray(at, at + share)
      yield piece
      at += piece.length
      share -= piece.length
      if (share > 0) continue
      await turn()
      share = SHARE
    }
  }
}

/** Hash in lower-case hexadecimal and length in bytes of what `chunks` yield. */
export async function digestOf (chunks: AsyncIterable<Uint8Array>): Promise<{ hash: string, size: number }> {
  const hasher = (await createBLAKE3()).init()
  let size = 0
  for await (const piece of inSteps(chunks)) {
    hasher.update(piece)
    size += piece.length
  }
  return { hash: hasher.digest('hex'), size }
}

/** Passes `chunks` on and throws `reject.blob_too_large` instead of the chunk that would exceed the limit. */
export async function * atMost (chunks: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  let size = 0
  for await (const chunk of chunks) {
    size += chunk.length
    if (size > maxBytes) throw new NodalmergeError('reject.blob_too_large')
    yield chunk
  }
}
