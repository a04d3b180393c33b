import { open, rename } from 'node:fs/promises'
import { createBLAKE3 } from 'hash-wasm'
import { NodalmergeError } from '../errors.js'
import { removeFile, syncFolder } from './blob-file.js'
import type { BlobLayout } from './blob-layout.js'
import type { BlobReader } from './blob-reader.js'
import { atMost, digestOf, inSteps } from './blob-steps.js'
import type { BlobLog, BlobStore } from './blob-store.js'
import type { Stamp, Verdicts } from './blob-verdicts.js'

type Put = BlobStore['put']

export interface BlobWriterParts { layout: BlobLayout, verdicts: Verdicts, reader: BlobReader, log: BlobLog }

/** Runs a step of writing; what the disk refuses becomes `reject.blob_write_failed`. */
async function written<T> (work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw cause instanceof NodalmergeError ? cause : new NodalmergeError('reject.blob_write_failed', undefined, { cause })
  }
}

/**
 * Safe writing (spec/storage-and-operations.md §2.3): a temporary file of its own, hashed while it is written, synced, renamed only
 * when the hash is right, and the folder synced before anyone is told.
 */
export function createBlobWriter (parts: BlobWriterParts): Put {
  const { layout, reader, log } = parts
  const publishing = new Map<string, Promise<unknown>>()

  /** One at a time for each name, so that of two writers of one blob exactly one has created it. */
  async function inTurn<T> (hash: string, work: () => Promise<T>): Promise<T> {
    for (let other = publishing.get(hash); other !== undefined; other = publishing.get(hash)) await other
    const mine = work().finally(() => publishing.delete(hash))
    publishing.set(hash, mine.catch(() => null))
    return await mine
  }

  return async (hash, body, { maxBytes }) => {
    const bounded = atMost(body, maxBytes)
    if (await reader.condition(hash) === 'sound') return await confirm(parts, hash, bounded)
    const temp = layout.temp(hash)
    try {
      const stamp = await receive(temp, hash, bounded)
      return await inTurn(hash, () => written(() => publish(parts, hash, temp, stamp)))
    } catch (cause) {
      await removeFile(temp).catch((error: unknown) => log.warn({ err: error, temp }, 'a temporary file could not be removed'))
      throw cause
    }
  }
}

/** The blob is there: check that the bytes sent are these, and that nobody removed it while they arrived. */
async function confirm ({ layout, reader }: BlobWriterParts, hash: string, body: AsyncIterable<Uint8Array>): ReturnType<Put> {
  const digest = await digestOf(body)
  if (digest.hash !== hash) throw new NodalmergeError('reject.blob_hash_mismatch')
  if (await reader.condition(hash) !== 'sound') throw new NodalmergeError('reject.blob_unavailable')
  await written(() => removeFile(layout.tombstone(hash)))
  return 'exists'
}

/** Gives a complete file its name, unless a sound one got there first. */
async function publish ({ layout, reader, verdicts }: BlobWriterParts, hash: string, temp: string, stamp: Stamp): ReturnType<Put> {
  const condition = await reader.condition(hash)
  if (condition === 'sound') {
    await removeFile(temp)
  } else {
    await rename(temp, layout.path(hash, 'identity'))
    await syncFolder(layout.pool)
    verdicts.set(layout.name(hash, 'identity'), stamp, { sound: true, size: stamp.size })
    // The raw form is read from now on; a compressed one was bad, or it would have been found sound.
    if (condition === 'bad') await removeFile(layout.path(hash, 'zstd'))
  }
  // A collector of another server may have marked the blob for removal; it is wanted again.
  await removeFile(layout.tombstone(hash))
  return OUTCOMES[condition]
}

const OUTCOMES = { sound: 'exists', bad: 'healed', absent: 'created' } as const

/** Writes and syncs the temporary file; throws `reject.blob_hash_mismatch` before the sync when the content is not what it should be. */
async function receive (temp: string, hash: string, body: AsyncIterable<Uint8Array>): Promise<Stamp> {
  const hasher = (await createBLAKE3()).init()
  const file = await written(() => open(temp, 'wx'))
  try {
    for await (const piece of inSteps(body)) {
      hasher.update(piece)
      await written(() => file.writeFile(piece))
    }
    if (hasher.digest('hex') !== hash) throw new NodalmergeError('reject.blob_hash_mismatch')
    return await written(async () => {
      await file.datasync()
      const { size, mtimeNs, ino } = await file.stat({ bigint: true })
      return { size: Number(size), mtime: mtimeNs, inode: ino }
    })
  } finally {
    await file.close()
  }
}
