import { BrowserLevel } from 'browser-level'
import { readLegacy } from './legacy.js'
import { type Locks, noLocks, platformLocks } from './locks.js'
import type { Storage } from './storage.js'
import type { Level, LevelWrite } from './storage-database.js'
import { levelStorage } from './storage-level.js'

/**
 * Storage in IndexedDB, for browsers: one database of this name for all rooms, shared by all tabs. On the first opening of a room it
 * takes over what the original client kept of it. Where the page may not use Web Locks (it is not on https or localhost) tabs cannot
 * see each other, and each writes with a seed of its own.
 */
export function browserStorage ({ name = 'nodalmerge-client', locks = platformLocks() ?? noLocks }: { name?: string, locks?: Locks } = {}): Storage {
  if (typeof name !== 'string') throw new TypeError('name names a database')
  if (name === '') throw new RangeError('name names a database')
  return levelStorage({ name: `browser:${name}`, locks, connect: () => connect(name), legacy: readLegacy })
}

/** What is used of an IDBDatabase. */
interface Connection { transaction (stores: string[], mode: 'readwrite', options: { durability: 'strict' | 'relaxed' }): Transaction }
interface Transaction {
  oncomplete: (() => void) | null
  onabort: (() => void) | null
  readonly error: Error | null
  objectStore (name: string): { put (value: Uint8Array, key: Uint8Array): void, delete (key: Uint8Array): void }
  abort (): void
}

function connect (name: string): Level {
  const level = new BrowserLevel<Uint8Array, Uint8Array>(name, { prefix: '', keyEncoding: 'view', valueEncoding: 'view' })
  return {
    open: () => level.open(),
    close: () => level.close(),
    get: (key) => level.get(key),
    iterator: (range) => level.iterator(range),
    clear: (range) => level.clear(range),
    // The library's own batch leaves the durability to the browser, and most take the weaker one.
    batch: (writes, { sync }) => write((level as unknown as { db: Connection }).db, name, writes, sync)
  }
}

function write (db: Connection, store: string, writes: readonly LevelWrite[], sync: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const transaction = db.transaction([store], 'readwrite', { durability: sync ? 'strict' : 'relaxed' })
    transaction.oncomplete = resolve
    transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was aborted'))
    try {
      const records = transaction.objectStore(store)
      for (const entry of writes) {
        if (entry.type === 'del') records.delete(entry.key)
        else records.put(alone(entry.value), entry.key)
      }
    } catch (cause) {
      transaction.onabort = () => reject(cause)
      transaction.abort()
    }
  })
}

/** A view would be stored with all of the buffer it looks into. */
function alone (bytes: Uint8Array): Uint8Array {
  return bytes.length === bytes.buffer.byteLength ? bytes : bytes.slice()
}
