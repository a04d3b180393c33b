import { randomBytes } from 'node:crypto'
import { join } from 'node:path'

/** What a name below `blake3/` stands for. Foreign entries are never read, never deleted and never an error. */
export type BlobEntry = { kind: 'identity' | 'zstd' | 'temp', hash: string } | { kind: 'foreign' }

const ENTRY = /^([0-9a-f]{64})(\.zst)?$/
// Ours and the original servers' names for files that are being written, with and without a random part.
const TEMP = /^(?:([0-9a-f]{64})(?:\.zst)?|\.([0-9a-f]{64})(?:\.zst)?\.[0-9a-f-]{32,36})\.tmp$/

/** Reads a name below `blake3/`. The suffix is the only sign of the encoding (spec/storage-and-operations.md §2.2). */
export function blobEntry (name: string): BlobEntry {
  const stored = ENTRY.exec(name)
  if (stored !== null) return { kind: stored[2] === undefined ? 'identity' : 'zstd', hash: stored[1] }
  const temp = TEMP.exec(name)
  if (temp !== null) return { kind: 'temp', hash: temp[1] ?? temp[2] }
  return { kind: 'foreign' }
}

export type BlobForm = 'identity' | 'zstd'

/** The order in which forms are read: where both exist, the raw one. */
export const BLOB_FORMS: readonly BlobForm[] = ['identity', 'zstd']

/** Every path of a blob folder (layout v3, spec/storage-and-operations.md §2.2). */
export interface BlobLayout {
  root: string
  /** The flat folder of all blobs. */
  pool: string
  /** Exists once a folder of layout v1 was brought over, or was never one. */
  marker: string
  /** Where files go that the migration could not accept. */
  quarantine: string
  name (hash: string, form: BlobForm): string
  path (hash: string, form: BlobForm): string
  tombstone (hash: string): string
  /** A new name for a file that is being written; no two calls give the same. */
  temp (hash: string): string
}

export function blobLayout (root: string): BlobLayout {
  const pool = join(root, 'blake3')
  const name = (hash: string, form: BlobForm): string => form === 'zstd' ? `${hash}.zst` : hash
  return {
    root,
    pool,
    marker: join(root, '.layout-v2'),
    quarantine: join(root, '.migration-skipped'),
    name,
    path: (hash, form) => join(pool, name(hash, form)),
    tombstone: (hash) => join(root, '.tombstones', 'blake3', hash),
    temp: (hash) => join(pool, `.${hash}.${randomBytes(16).toString('hex')}.tmp`)
  }
}
