import { copyFile, mkdir, open, readdir, rename, rm, rmdir, unlink, writeFile } from 'node:fs/promises'
import type { Dirent } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileChunks, isCrossDevice, stampOf, syncFolder } from './blob-file.js'
import { blobEntry, type BlobLayout } from './blob-layout.js'
import { digestOf } from './blob-steps.js'
import type { BlobLog } from './blob-store.js'

/** Folder names the first layout could make of a room id or a shard; anything else below the root is not ours. */
const LEGACY_FOLDER = /^[A-Za-z0-9_-]+$/
const OWN_FOLDERS = new Set(['blake3', '.tombstones', '.migration-skipped'])

interface Migration {
  layout: BlobLayout
  log: BlobLog
  disk: MigrationDisk
}

/** The two things that fail only on real disks; other ones in tests. */
export interface MigrationDisk {
  move (from: string, to: string): Promise<void>
  /** The hash of a file's content, or null when there is no such file. */
  hash (path: string): Promise<string | null>
}

const realDisk: MigrationDisk = {
  move: rename,
  async hash (path) {
    const stamp = await stampOf(path)
    return stamp === null ? null : (await digestOf(fileChunks(path, stamp))).hash
  }
}

/**
 * Brings a folder of layout v1, one folder a room, to v2, once: verified files move to `blake3/`, others to the quarantine. What
 * cannot be handled stays, keeps the marker from being written and is tried again at the next start
 * (spec/storage-and-operations.md §2.2). True when the folder is migrated.
 */
export async function migrateBlobs (layout: BlobLayout, log: BlobLog, disk = realDisk): Promise<boolean> {
  if (await stampOf(layout.marker) !== null) return true
  const migration = { layout, log, disk }
  let clean = true
  for (const entry of await readdir(layout.root, { withFileTypes: true })) {
    if (!entry.isDirectory() || OWN_FOLDERS.has(entry.name) || !LEGACY_FOLDER.test(entry.name)) continue
    if (!await migrateFolder(migration, entry.name)) clean = false
  }
  // Only the server that used this layout kept tombstones beside the blobs, and it named that folder so.
  if (basename(layout.root) === 'blobs') await rm(join(dirname(layout.root), 'blob-tombstones'), { recursive: true, force: true })
  if (!clean) return false
  await syncFolder(layout.pool)
  await writeFile(layout.marker, '')
  await syncFolder(layout.root)
  return true
}

async function migrateFolder (migration: Migration, folder: string): Promise<boolean> {
  const path = join(migration.layout.root, folder)
  const entries = await readdir(path, { withFileTypes: true })
  let clean = true
  for (const entry of entries) {
    try {
      await migrateEntry(migration, folder, entry)
    } catch (err) {
      migration.log.warn({ err, folder, file: entry.name }, 'a file of the old blob layout could not be migrated; the next start tries again')
      clean = false
    }
  }
  if ((await readdir(path)).length === 0) await rmdir(path)
  return clean
}

async function migrateEntry (migration: Migration, folder: string, entry: Dirent): Promise<void> {
  if (!entry.isFile()) throw new Error('not a plain file')
  // A name that is not Unicode comes back with replacement characters, under which it cannot be opened.
  if (entry.name.includes('\ufffd')) throw new Error('the name is not Unicode')
  if (entry.name.endsWith('.tmp')) return
  const path = join(migration.layout.root, folder, entry.name)
  const hash = legacyHash(entry.name)
  // A file that cannot be read is put aside like one with other content.
  const sound = hash !== null && await migration.disk.hash(path).catch(() => null) === hash
  if (sound) await accept(migration, path, hash)
  else await quarantine(migration, path, `${folder}__${entry.name}`)
}

/** The hash a file of layout v1 is named by: one server used the bare hash, the other put `.blob` behind it. */
function legacyHash (name: string): string | null {
  const entry = blobEntry(name.endsWith('.blob') ? name.slice(0, -'.blob'.length) : name)
  return entry.kind === 'identity' ? entry.hash : null
}

async function accept ({ layout, disk }: Migration, path: string, hash: string): Promise<void> {
  const target = layout.path(hash, 'identity')
  if (await disk.hash(target) === hash) return await unlink(path)
  try {
    await disk.move(path, target)
  } catch (cause) {
    if (!isCrossDevice(cause)) throw cause
    await copyAcross(path, layout.temp(hash), target)
  }
}

/** Moves a file to another device. The copy gets its name only when it is complete; a failed one is removed. */
async function copyAcross (path: string, temp: string, target: string): Promise<void> {
  try {
    await copyFile(path, temp)
    const copy = await open(temp)
    await copy.sync().finally(() => copy.close())
    await rename(temp, target)
  } finally {
    await rm(temp, { force: true })
  }
  await unlink(path)
}

async function quarantine ({ layout, log, disk }: Migration, path: string, name: string): Promise<void> {
  const target = join(layout.quarantine, name)
  await mkdir(layout.quarantine, { recursive: true })
  if (await stampOf(target) !== null) throw new Error('the quarantine already holds a file of this name')
  await disk.move(path, target)
  log.warn({ file: name }, 'a file of the old blob layout is no sound blob and was put into quarantine')
}
