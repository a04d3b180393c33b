import { NodalmergeError } from '../errors.js'
import { concat } from '../protocol/bytes.js'
import { atMost, digestOf } from './blob-steps.js'
import { requireBlobHash, type BlobStore, type ByteRange } from './blob-store.js'

export interface MemoryBlobsOptions {
  /** Bytes all blobs together may take, those being received included. Default 256 MiB. When full, `put` throws `reject.blob_unavailable` (503). */
  maxBytes?: number
}

/** What a reader is handed at once, so that a slow one is noticed. */
const STEP = 64 * 1024

/**
 * Blobs in memory, lost with the process: for tests and for trying things out. It really holds what it acknowledges, up to a bound
 * (spec/storage-and-operations.md §3.4). Throws `RangeError` for an unusable bound.
 */
export function memoryBlobs ({ maxBytes = 256 * 1024 * 1024 }: MemoryBlobsOptions = {}): BlobStore {
  if (!Number.isSafeInteger(maxBytes) || maxBytes < 1) throw new RangeError('maxBytes must be a positive integer')
  const blobs = new Map<string, Uint8Array>()
  let used = 0

  function find (hash: string): Uint8Array | undefined {
    requireBlobHash(hash)
    return blobs.get(hash)
  }

  /** Gathers a body whose bytes count against the bound from the moment they arrive. */
  async function * reserving (body: AsyncIterable<Uint8Array>, kept: Uint8Array[]): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      if (used + chunk.length > maxBytes) throw new NodalmergeError('reject.blob_unavailable', 'the memory store is full')
      used += chunk.length
      kept.push(Uint8Array.from(chunk))
      yield chunk
    }
  }

  async function receive (hash: string, body: AsyncIterable<Uint8Array>): Promise<'created' | 'exists'> {
    const kept: Uint8Array[] = []
    let release = true
    try {
      const digest = await digestOf(reserving(body, kept))
      if (digest.hash !== hash) throw new NodalmergeError('reject.blob_hash_mismatch')
      if (blobs.has(hash)) return 'exists'
      blobs.set(hash, concat(kept))
      release = false
      return 'created'
    } finally {
      if (release) for (const chunk of kept) used -= chunk.length
    }
  }

  return {
    manifest: { name: 'memory', durable: false, presign: false },
    async open () {},
    async close () {},
    async check () {},
    async stat (hash) {
      const blob = find(hash)
      return blob === undefined ? null : { size: blob.length }
    },
    async get (hash, range) {
      const blob = find(hash)
      return blob === undefined ? null : { size: blob.length, stream: pieces(blob, range) }
    },
    async encoded (hash) {
      requireBlobHash(hash)
      return null
    },
    async put (hash, body, limits) {
      const blob = find(hash)
      const bounded = atMost(body, limits.maxBytes)
      if (blob === undefined) return await receive(hash, bounded)
      if ((await digestOf(bounded)).hash !== hash) throw new NodalmergeError('reject.blob_hash_mismatch')
      if (!blobs.has(hash)) throw new NodalmergeError('reject.blob_unavailable', 'the blob was deleted meanwhile')
      return 'exists'
    },
    async delete (hash) {
      used -= find(hash)?.length ?? 0
      return blobs.delete(hash)
    },
    async * list () { yield * blobs.keys() },
    async presign (_op, hash) {
      requireBlobHash(hash)
      return null
    },
    async verifyUploaded (hash) {
      const blob = find(hash)
      return blob === undefined ? { ok: false, reason: 'not found' } : { ok: true, size: blob.length }
    }
  }
}

async function * pieces (blob: Uint8Array, range: ByteRange = { first: 0, last: blob.length }): AsyncGenerator<Uint8Array> {
  const end = Math.min(range.last + 1, blob.length)
  for (let at = range.first; at < end; at += STEP) yield blob.subarray(at, Math.min(at + STEP, end))
}
