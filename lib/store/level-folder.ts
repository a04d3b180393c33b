import { readdir, stat, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { NodalmergeError } from '../errors.js'
import type { LevelSource } from './level-database.js'
import { isCode } from './level-error.js'

/** What LevelDB itself puts into its folder. */
const OWN = /^(CURRENT|LOCK|LOG(\.old)?|MANIFEST-\d+|\d+\.(ldb|log|sst|dbtmp))$/
/** Dot files and what a freshly made file system holds harm nobody. */
const HARMLESS = /^(\..*|lost\+found)$/
/** The node databases of earlier servers (spec/storage-and-operations.md §1.4). */
const EARLIER = /^(activesync|nodalmerge)\.db(-wal|-shm|-journal)?$/

/** Nodes are mostly keys, hashes and signatures: they do not shrink. */
const COMPRESSION = false

/** Tables LevelDB keeps open, each mapped into memory: rooms are read once, in order, so mapped tables would only look like our memory. */
const OPEN_FILES = 64
/** The smallest table LevelDB makes. */
const TABLE_BYTES = 1 << 20

/** The LevelDB in a folder. */
export function levelFolder (path: string): LevelSource {
  return {
    connect: () => new ClassicLevel<Uint8Array, Uint8Array>(path, { keyEncoding: 'view', valueEncoding: 'view', compression: COMPRESSION, maxOpenFiles: OPEN_FILES, maxFileSize: TABLE_BYTES }),
    space: () => checkSpace(path)
  }
}

/**
 * Refuses a folder that is not ours to write to: `store.format_foreign` for other programs' files and for the databases of earlier
 * servers, which would otherwise look like rooms that had lost everything. A missing folder is fine.
 */
export async function checkFolder (path: string): Promise<void> {
  const names = await list(path)
  // Earlier servers kept their database where the host's data folder is now, one level up.
  const earlier = [...names, ...await list(dirname(path))].find((name) => EARLIER.test(name))
  if (earlier !== undefined) {
    throw refusal(path, `holds, or lies beside, ${earlier} of an earlier server, which is not read; import its rooms and move it away`)
  }
  const other = names.find((name) => !OWN.test(name) && !HARMLESS.test(name))
  if (other !== undefined) throw refusal(path, `holds ${other}, which is not ours; give the nodes a folder of their own`)
}

/** Room for the list of tables and for a little of what comes next, besides the log that is read into a table. */
const MARGIN = 1024 * 1024

/** Throws `store.failed` when the disk has too little space for the database to be opened after a failed write. */
export async function checkSpace (path: string, freeBytes = freeBytesAt): Promise<void> {
  const logs = (await list(path)).filter((name) => name.endsWith('.log'))
  const sizes = await Promise.all(logs.map(async (name) => (await stat(join(path, name))).size))
  const needed = sizes.reduce((sum, size) => sum + size, MARGIN)
  if (await freeBytes(path) >= needed) return
  throw new NodalmergeError('store.failed', `the disk is full: ${path} needs ${needed} bytes to take new nodes again`)
}

async function freeBytesAt (path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path)
  return bavail * bsize
}

async function list (path: string): Promise<string[]> {
  try {
    return await readdir(path)
  } catch (cause) {
    if (isCode(cause, 'ENOENT')) return []
    if (isCode(cause, 'ENOTDIR')) throw refusal(path, 'is not a folder', cause)
    throw new NodalmergeError('store.failed', `the folder ${path} cannot be read`, { cause })
  }
}

function refusal (path: string, why: string, cause?: unknown): NodalmergeError {
  return new NodalmergeError('store.format_foreign', `${path} ${why}`, { cause })
}
