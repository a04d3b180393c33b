import { type ObjectStore, keyRange, openExisting, settled } from './indexeddb.js'

/** The IndexedDB database of the original client, read only. */
export interface LegacyDatabase {
  get (store: string, key: string): Promise<unknown>
  /** Those that start with `prefix`. */
  keys (store: string, prefix: string): Promise<string[]>
  close (): void
}

const NAME = 'nodalmerge-peer-local'
const STORES = ['nodes', 'blobs']

/** Null when there is none; none is made. */
export async function openLegacy (): Promise<LegacyDatabase | null> {
  const connection = await openExisting(NAME)
  if (connection === null) return null
  if (!STORES.every((store) => connection.objectStoreNames.contains(store))) {
    connection.close()
    return null
  }
  const store = (name: string): ObjectStore => connection.transaction([name], 'readonly').objectStore(name)
  return {
    get: (name, key) => settled(store(name).get(key)),
    async keys (name, prefix) {
      const keys = await settled(store(name).getAllKeys(keyRange(prefix, `${prefix}\uffff`)))
      return keys.filter((key) => typeof key === 'string')
    },
    close: () => connection.close()
  }
}
