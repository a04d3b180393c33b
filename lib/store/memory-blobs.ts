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

interface Pool {
  blobs: ReadonlyMap<string, Uint8Array>
  receive (hash: string, body: AsyncIterable<Uint8Array>): Promise<'created' | 'exists'>
  remove (hash: string): boolean
}

/** The bytes themselves, and the account of how many there are. */
function createPool (maxBytes: number): Pool {
  const blobs = new Map<string, Uint8Array>()
  let used = 0

  /** Gathers a body whose bytes count against the bound from the moment they arrive. */
  async function * reserving (body: AsyncIterable<Uint8Array>, kept: Uint8Array[]): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      if (used + chunk.length > maxBytes) throw new NodalmergeError('reject.blob_unavailable', 'the memory store is full')
      used += chunk.length
      kept.push(Uint8Array.from(chunk))
      yield chunk
    }
  }

  return {
    blobs,
    async receive (hash, body) {
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
    },
    remove (hash) {
      used -= blobs.get(hash)?.length ?? 0
      return blobs.delete(hash)
    }
  }
}

/**
 * Blobs in memory, lost with the process: for tests and for trying things out. It really holds what it acknowledges, up to a bound
 * (spec/storage-and-operations.md §3.4). Throws `RangeError` for an unusable bound.
 */
export function memoryBlobs ({ maxBytes = 256 * 1024 * 1024 }: MemoryBlobsOptions = {}): BlobStore {
  if (!Number.isSafeInteger(maxBytes) || maxBytes < 1) throw new RangeError('maxBytes must be a positive integer')
  const { blobs, receive, remove } = createPool(maxBytes)
  return {
    manifest: { name: 'memory', durable: false, presign: false },
    async open () {},
    async close () {},
    async check () {},
    async stat (hash) {
      const found = content(blobs, hash)
      return found === null ? null : { size: found.size }
    },
    async get (hash, range) {
      const found = content(blobs, hash)
      return found === null ? null : { size: found.size, stream: pieces(found.bytes, range) }
    },
    encoded: nothing,
    async put (hash, body, limits) {
      const bounded = atMost(body, limits.maxBytes)
      if (content(blobs, hash) === null) return await receive(hash, bounded)
      if ((await digestOf(bounded)).hash !== hash) throw new NodalmergeError('reject.blob_hash_mismatch')
      if (!blobs.has(hash)) throw new NodalmergeError('reject.blob_unavailable', 'the blob was deleted meanwhile')
      return 'exists'
    },
    async delete (hash) {
      requireBlobHash(hash)
      return remove(hash)
    },
    async * list () { yield * blobs.keys() },
    presign: (_op, hash) => nothing(hash),
    async verifyUploaded (hash) {
      const found = content(blobs, hash)
      return found === null ? { ok: false, reason: 'not found' } : { ok: true, size: found.size }
    }
  }
}

/** What this store never has. */
async function nothing (hash: string): Promise<null> {
  requireBlobHash(hash)
  return null
}

function content (blobs: ReadonlyMap<string, Uint8Array>, hash: string): { size: number, bytes: Uint8Array } | null {
  requireBlobHash(hash)
  const bytes = blobs.get(hash)
  return bytes === undefined ? null : { size: bytes.length, bytes }
}

async function * pieces (blob: Uint8Array, range: ByteRange = { first: 0, last: blob.length }): AsyncGenerator<Uint8Array> {
  const end = Math.min(range.last + 1, blob.length)
  for (let at = range.first; at < end; at += STEP) yield blob.subarray(at, Math.min(at + STEP, end))
}
