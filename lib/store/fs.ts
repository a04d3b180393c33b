import { mkdir, opendir, open as openFile } from 'node:fs/promises'
import { join } from 'node:path'
import { NodalmergeError } from '../errors.js'
import { attempt, removeFile, stampOf } from './blob-file.js'
import { blobEntry, blobLayout, type BlobLayout } from './blob-layout.js'
import { migrateBlobs } from './blob-migration.js'
import { createBlobReader } from './blob-reader.js'
import { requireBlobHash, type BlobLog, type BlobStore } from './blob-store.js'
import { createVerdicts } from './blob-verdicts.js'
import { createBlobWriter } from './blob-writer.js'

export interface FsBlobsOptions {
  /** The folder that holds, or shall hold, `blake3/` (layout v3, spec/storage-and-operations.md §2.2). Made when absent. */
  root: string
  /** Bytes a compressed file may expand to; larger ones read as corrupt. Default 64 MiB, the largest blob a server accepts by default. */
  maxInflate?: number
  /** Told about corrupt files and entries a migration could not move. Default: nobody. */
  log?: BlobLog
  /** Milliseconds between two searches for temporary files nobody finishes. Default one hour. */
  sweepInterval?: number
}

const HOUR = 60 * 60 * 1000
/** Files whose verdict is remembered, 250 bytes each: a working set beyond this is hashed again when it is read. */
const VERDICTS = 32 * 1024
/**
 * Milliseconds without a write after which a temporary file is given up. Shorter at the start, because a crash that left some was
 * probably followed by one; not zero, because another process may be writing to the same folder.
 */
const STALE = { atOpen: HOUR, later: 24 * HOUR }

const silent: BlobLog = { warn () {} }

/**
 * Blobs as files of a folder that the original servers can read and write too. Writes raw files; recognises compressed ones. The
 * folder may be shared by several processes. Throws `TypeError` or `RangeError` for unusable options.
 */
export function fsBlobs (options: FsBlobsOptions): BlobStore {
  const { root, maxInflate = 64 * 1024 * 1024, log = silent, sweepInterval = HOUR } = options
  const layout = layoutOf(root)
  const verdicts = createVerdicts(VERDICTS)
  const reader = createBlobReader({ layout, verdicts, maxInflate, log })
  const put = createBlobWriter({ layout, verdicts, reader, log })
  const sweeper = createSweeper(layout, log, sweepInterval)
  return {
    manifest: { name: 'fs', durable: true, presign: false },
    open: () => attempt(async () => {
      await mkdir(layout.pool, { recursive: true })
      await migrateBlobs(layout, log)
      await removeStale(layout, STALE.atOpen)
      sweeper.start()
    }),
    close: () => sweeper.stop(),
    check: () => attempt(() => probe(layout)),
    async stat (hash) { return await reader.stat(guarded(hash)) },
    async get (hash, range) { return await reader.get(guarded(hash), range) },
    async encoded (hash) { return await reader.encoded(guarded(hash)) },
    async put (hash, body, limits) { return await put(guarded(hash), body, limits) },
    async delete (hash) {
      const raw = await attempt(() => removeFile(layout.path(guarded(hash), 'identity')))
      const compressed = await attempt(() => removeFile(layout.path(hash, 'zstd')))
      return raw || compressed
    },
    list: () => listPool(layout),
    presign: (_op, hash) => nothing(hash),
    async verifyUploaded (hash) {
      const content = await reader.get(guarded(hash))
      return content === null ? { ok: false, reason: 'not found' } : { ok: true, size: content.size }
    }
  }
}

function layoutOf (root: unknown): BlobLayout {
  if (typeof root !== 'string') throw new TypeError('root must be the path of a folder')
  if (root === '') throw new RangeError('root must not be empty')
  return blobLayout(root)
}

/** What this store never has. */
async function nothing (hash: string): Promise<null> {
  requireBlobHash(hash)
  return null
}

function guarded (hash: string): string {
  requireBlobHash(hash)
  return hash
}

/** Names below `blake3/`, a page at a time; folders are foreign whatever their name. */
async function * entries (layout: BlobLayout): AsyncGenerator<string> {
  try {
    for await (const entry of await opendir(layout.pool)) if (!entry.isDirectory()) yield entry.name
  } catch (cause) {
    throw new NodalmergeError('store.failed', undefined, { cause })
  }
}

async function * listPool (layout: BlobLayout): AsyncGenerator<string> {
  for await (const name of entries(layout)) {
    const entry = blobEntry(name)
    if (entry.kind === 'identity') yield entry.hash
    // A hash that is stored in both forms is listed once, as raw.
    if (entry.kind === 'zstd' && await attempt(() => stampOf(layout.path(entry.hash, 'identity'))) === null) yield entry.hash
  }
}

/** Looks for temporary files nobody finishes, every now and then; does not keep the process alive. */
function createSweeper (layout: BlobLayout, log: BlobLog, interval: number): { start (): void, stop (): Promise<void> } {
  let timer: NodeJS.Timeout | undefined
  let sweeping = Promise.resolve()
  return {
    start () {
      timer = setInterval(() => {
        sweeping = removeStale(layout, STALE.later).catch((err: unknown) => log.warn({ err }, 'temporary files could not be searched'))
      }, interval).unref()
    },
    async stop () {
      clearInterval(timer)
      await sweeping
    }
  }
}

async function removeStale (layout: BlobLayout, age: number): Promise<void> {
  const limit = BigInt(Date.now() - age) * 1_000_000n
  for await (const name of entries(layout)) {
    if (blobEntry(name).kind !== 'temp') continue
    const path = join(layout.pool, name)
    const stamp = await stampOf(path)
    if (stamp !== null && stamp.mtime < limit) await removeFile(path)
  }
}

/** Writes and removes a file under a name that is recognised as temporary, should the process end in between. */
async function probe (layout: BlobLayout): Promise<void> {
  const path = layout.temp('0'.repeat(64))
  const file = await openFile(path, 'wx')
  try {
    await file.writeFile('ok')
  } finally {
    await file.close()
    await removeFile(path)
  }
}
