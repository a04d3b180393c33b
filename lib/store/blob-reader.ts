import { createBLAKE3 } from 'hash-wasm'
import { NodalmergeError } from '../errors.js'
import { attempt, fileChunks, stampOf } from './blob-file.js'
import { FrameError, inflate } from './blob-frame.js'
import { BLOB_FORMS, type BlobForm, type BlobLayout } from './blob-layout.js'
import { digestOf } from './blob-steps.js'
import type { BlobLog, BlobStore, ByteRange } from './blob-store.js'
import type { Stamp, Verdict, Verdicts } from './blob-verdicts.js'

/** Up to this many bytes a file is verified before its first byte is sent; it takes a quarter of a millisecond. */
const SMALL = 256 * 1024

export interface BlobReader extends Pick<BlobStore, 'stat' | 'get' | 'encoded'> {
  /** Reads whatever is stored under the hash, unless that was done before: is there a sound copy, only a bad one, or none? */
  condition (hash: string): Promise<'sound' | 'bad' | 'absent'>
}

interface Found { form: BlobForm, path: string, name: string, stamp: Stamp, verdict: Verdict | null }

export interface BlobReaderParts { layout: BlobLayout, verdicts: Verdicts, maxInflate: number, log: BlobLog }

/** The files of one blob, and what is known of them. */
interface Shelf {
  /** Every form that is stored, the preferred one first. */
  stored (hash: string): AsyncIterable<Found>
  /** One reading of a file serves all who wait for its verdict. */
  verify (hash: string, found: Found): Promise<Verdict>
}

function createShelf (parts: BlobReaderParts): Shelf {
  const { layout, verdicts } = parts
  const running = new Map<string, Promise<Verdict>>()
  return {
    async * stored (hash) {
      for (const form of BLOB_FORMS) {
        const path = layout.path(hash, form)
        const name = layout.name(hash, form)
        const stamp = await attempt(() => stampOf(path))
        if (stamp !== null) yield { form, path, name, stamp, verdict: verdicts.get(name, stamp) }
      }
    },

    async verify (hash, found) {
      if (found.verdict !== null) return found.verdict
      const already = running.get(found.name)
      if (already !== undefined) return await already
      const work = judge(parts, hash, found).finally(() => running.delete(found.name))
      running.set(found.name, work)
      return await work
    }
  }
}

export function createBlobReader (parts: BlobReaderParts): BlobReader {
  const { stored, verify } = createShelf(parts)
  return {
    async stat (hash) {
      for await (const { form, stamp, verdict } of stored(hash)) {
        if (verdict?.sound === false) continue
        return { size: verdict?.size ?? (form === 'identity' ? stamp.size : null) }
      }
      return null
    },

    async get (hash, range) {
      for await (const found of stored(hash)) {
        if (found.verdict === null && found.form === 'identity' && range === undefined && found.stamp.size > SMALL) {
          return { size: found.stamp.size, stream: verifiedAtEnd(parts, hash, found) }
        }
        const verdict = await verify(hash, found)
        if (verdict.sound) return { size: verdict.size, stream: plainChunks(parts, found, verdict.size, range) }
      }
      return null
    },

    async encoded (hash) {
      for await (const found of stored(hash)) {
        if (found.verdict?.sound === false) continue
        return found.form === 'zstd' ? { size: found.stamp.size, stream: fileChunks(found.path, found.stamp) } : null
      }
      return null
    },

    async condition (hash) {
      let any = false
      for await (const found of stored(hash)) {
        if ((await verify(hash, found)).sound) return 'sound'
        any = true
      }
      return any ? 'bad' : 'absent'
    }
  }
}

/** Reads a file through and remembers whether it is what its name says. */
async function judge ({ verdicts, log, maxInflate }: BlobReaderParts, hash: string, { form, path, name, stamp }: Found): Promise<Verdict> {
  const raw = fileChunks(path, stamp)
  const verdict = { sound: false, size: 0 }
  try {
    const digest = await digestOf(form === 'zstd' ? inflate(raw, maxInflate) : raw)
    verdict.sound = digest.hash === hash
    verdict.size = digest.size
  } catch (cause) {
    if (!(cause instanceof FrameError)) throw cause
  }
  if (!verdict.sound) log.warn({ hash, file: name }, 'a stored blob is corrupt and reads as missing')
  verdicts.set(name, stamp, verdict)
  return verdict
}

/** Streams a large file that nobody has verified yet; the last step is kept back until the hash has been compared. */
async function * verifiedAtEnd ({ verdicts, log }: BlobReaderParts, hash: string, { path, name, stamp }: Found): AsyncGenerator<Uint8Array> {
  const hasher = (await createBLAKE3()).init()
  let held: Uint8Array = new Uint8Array(0)
  for await (const chunk of fileChunks(path, stamp)) {
    if (held.length > 0) yield held
    hasher.update(chunk)
    held = chunk
  }
  const sound = hasher.digest('hex') === hash
  verdicts.set(name, stamp, { sound, size: stamp.size })
  if (!sound) {
    log.warn({ hash, file: name }, 'a stored blob is corrupt; its transfer was cut off')
    throw new NodalmergeError('store.failed', 'the stored blob is corrupt')
  }
  yield held
}

/** The content of a file known to be sound. */
function plainChunks (parts: BlobReaderParts, found: Found, size: number, range?: ByteRange): AsyncIterable<Uint8Array> {
  const first = range?.first ?? 0
  const last = Math.min(range?.last ?? size, size - 1)
  const { path, stamp, form } = found
  return form === 'zstd' ? slice(inflate(fileChunks(path, stamp), parts.maxInflate), first, last) : fileChunks(path, stamp, first, last)
}

/** The bytes `first` to `last`, both included, of a stream; what follows them is not asked for. */
async function * slice (chunks: AsyncIterable<Uint8Array>, first: number, last: number): AsyncGenerator<Uint8Array> {
  let at = 0
  for await (const chunk of chunks) {
    const part = chunk.subarray(Math.max(0, first - at), Math.max(0, last + 1 - at))
    at += chunk.length
    if (part.length > 0) yield part
    if (at > last) return
  }
}
