import { ClassicLevel } from 'classic-level'
import { createLocks } from './locks.js'
import type { Storage } from './storage.js'
import { levelStorage } from './storage-level.js'

/** Nodes are mostly hashes and signatures: they do not shrink. */
const COMPRESSION = false

/**
 * Storage in a folder, for Node.js. The folder belongs to one process at a time and, within it, to one storage object, which serves all
 * rooms; another gets `client.storage`. It is made when it is missing.
 */
export function folderStorage ({ path }: { path: string }): Storage {
  if (typeof path !== 'string') throw new TypeError('path names a folder')
  if (path === '') throw new RangeError('path names a folder')
  return levelStorage({
    name: `folder:${path}`,
    locks: createLocks(),
    connect: () => new ClassicLevel<Uint8Array, Uint8Array>(path, { keyEncoding: 'view', valueEncoding: 'view', compression: COMPRESSION })
  })
}
