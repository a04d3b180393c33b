import { readLegacy } from './legacy.js'
import { type Locks, noLocks, platformLocks } from './locks.js'
import type { Storage } from './storage.js'
import { indexedLevel } from './storage-indexeddb.js'
import { levelStorage } from './storage-level.js'

/**
 * Storage in IndexedDB, for browsers: one database of this name for all rooms, shared by all tabs. On the first opening of a room it
 * takes over what the original client kept of it. Where the page may not use Web Locks (it is not on https or localhost) tabs cannot
 * see each other, and each writes with a seed of its own.
 */
export function browserStorage ({ name = 'nodalmerge-client', locks = platformLocks() ?? noLocks }: { name?: string, locks?: Locks } = {}): Storage {
  if (typeof name !== 'string') throw new TypeError('name names a database')
  if (name === '') throw new RangeError('name names a database')
  return levelStorage({ name: `browser:${name}`, locks, connect: () => indexedLevel(name), legacy: readLegacy })
}
