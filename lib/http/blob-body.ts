import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { NodalmergeError } from '../errors.js'

/** Milliseconds a client may go on sending a body nobody wants; then its connection is closed. */
const LINGER = 30_000

/** A body that was read, and how many bytes came. */
export interface Received { chunks: AsyncIterable<Uint8Array>, size (): number }

/**
 * The bytes of a request. Leaving the iteration leaves the request open, so that a refusal can still be answered; a client that goes
 * away ends it with `reject.blob_interrupted`.
 */
export function received (body: Readable | undefined): Received {
  let size = 0
  async function * chunks (): AsyncGenerator<Uint8Array> {
    if (body === undefined) return
    const source: AsyncIterable<Uint8Array> = { [Symbol.asyncIterator]: () => body.iterator({ destroyOnReturn: false }) }
    try {
      for await (const chunk of source) {
        size += chunk.length
        yield chunk
      }
    } catch (cause) {
      throw new NodalmergeError('reject.blob_interrupted', undefined, { cause })
    }
  }
  return { chunks: chunks(), size: () => size }
}

/**
 * Takes what is still arriving when the answer is sent, so that the connection can serve its next request. Closing at once would
 * reset it, and the client might never see the answer. At most `maxBytes` are taken, within `linger` milliseconds.
 */
export function discardRest (raw: IncomingMessage, maxBytes: number, linger = LINGER): void {
  if (raw.complete || raw.destroyed) return
  let left = maxBytes
  const deadline = setTimeout(() => raw.destroy(), linger).unref()
  raw.once('close', () => clearTimeout(deadline))
  raw.on('data', (chunk: Uint8Array) => {
    left -= chunk.length
    if (left < 0) raw.destroy()
  })
  raw.resume()
}
