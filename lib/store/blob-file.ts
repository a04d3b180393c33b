import { open, stat, unlink, type FileHandle } from 'node:fs/promises'
import { NodalmergeError } from '../errors.js'
import { sameStamp, type Stamp } from './blob-verdicts.js'

/** Bytes read or hashed in one step: 0.1 ms of hashing, and what a slow reader makes the server hold. */
const STEP = 64 * 1024

function codeOf (cause: unknown): unknown {
  return cause instanceof Error && 'code' in cause ? cause.code : undefined
}

/** Whether an error of the file system means that there is no such file. */
export function isAbsent (cause: unknown): boolean {
  return codeOf(cause) === 'ENOENT'
}

export function isCrossDevice (cause: unknown): boolean {
  return codeOf(cause) === 'EXDEV'
}

/** Runs work on the disk; what the disk refuses becomes `store.failed`, so that it is never taken for "not there". */
export async function attempt<T> (work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    throw cause instanceof NodalmergeError ? cause : new NodalmergeError('store.failed', undefined, { cause })
  }
}

/** The stamp of a plain file, or null when there is none of that name (a folder of that name is foreign). */
export async function stampOf (path: string): Promise<Stamp | null> {
  try {
    const found = await stat(path, { bigint: true })
    return found.isFile() ? { size: Number(found.size), mtime: found.mtimeNs, inode: found.ino } : null
  } catch (cause) {
    if (isAbsent(cause)) return null
    throw cause
  }
}

/** Removes a file; false when there was none. */
export async function removeFile (path: string): Promise<boolean> {
  try {
    await unlink(path)
    return true
  } catch (cause) {
    if (isAbsent(cause)) return false
    throw cause
  }
}

/**
 * The bytes `first` to `last`, both included, of the file that had this stamp. The file is opened when the first chunk is asked for
 * and closed when the iteration ends in any way; should it be another file by then, `store.failed` is thrown.
 */
export async function * fileChunks (path: string, stamp: Stamp, first = 0, last = stamp.size - 1): AsyncGenerator<Uint8Array> {
  const file = await attempt(() => open(path))
  try {
    const now = await attempt(() => file.stat({ bigint: true }))
    if (!sameStamp(stamp, { size: Number(now.size), mtime: now.mtimeNs, inode: now.ino })) throw changed()
    for (let at = first; at <= last;) {
      const chunk = await readStep(file, at, Math.min(STEP, last + 1 - at))
      at += chunk.length
      yield chunk
    }
  } finally {
    await file.close()
  }
}

async function readStep (file: FileHandle, at: number, length: number): Promise<Uint8Array> {
  const { buffer, bytesRead } = await attempt(() => file.read(Buffer.allocUnsafe(length), 0, length, at))
  if (bytesRead === 0) throw changed()
  return buffer.subarray(0, bytesRead)
}

function changed (): NodalmergeError {
  return new NodalmergeError('store.failed', 'the file changed while it was read')
}

/** Makes what was renamed into or removed from a folder durable. */
export async function syncFolder (path: string): Promise<void> {
  /* c8 ignore next */ if (process.platform === 'win32') return // a folder cannot be opened there
  const folder = await open(path)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
