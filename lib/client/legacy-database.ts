/** The IndexedDB database of the original client, read only. */
export interface LegacyDatabase {
  get (store: string, key: string): Promise<unknown>
  /** Those that start with `prefix`. */
  keys (store: string, prefix: string): Promise<string[]>
  close (): void
}

const NAME = 'nodalmerge-peer-local'
const STORES = ['nodes', 'blobs']

/** What is used of the Indexed Database API. */
interface Request<T> { readonly result: T, readonly error: Error | null, onsuccess: (() => void) | null, onerror: ((event: { preventDefault (): void }) => void) | null }
interface OpenRequest extends Request<Connection> { onupgradeneeded: (() => void) | null, readonly transaction: { abort (): void } | null }
interface Connection {
  readonly objectStoreNames: { contains (name: string): boolean }
  transaction (store: string): { objectStore (name: string): Store }
  close (): void
}
interface Store { get (key: string): Request<unknown>, getAllKeys (range: object): Request<string[]> }
interface Platform { indexedDB: { open (name: string): OpenRequest }, IDBKeyRange: { bound (from: string, to: string): object } }

/** Null when there is none; none is made. */
export async function openLegacy (): Promise<LegacyDatabase | null> {
  const { indexedDB, IDBKeyRange } = globalThis as unknown as Platform
  const connection = await new Promise<Connection | null>((resolve, reject) => {
    const request = indexedDB.open(NAME)
    let missing = false
    request.onupgradeneeded = () => {
      // It would be created now, so it is not there.
      missing = true
      request.transaction?.abort()
    }
    request.onsuccess = () => resolve(request.result)
    request.onerror = (event) => {
      event.preventDefault()
      if (missing) resolve(null)
      else reject(request.error ?? new Error('the database of the earlier client cannot be opened'))
    }
  })
  if (connection === null) return null
  if (!STORES.every((store) => connection.objectStoreNames.contains(store))) {
    connection.close()
    return null
  }
  const store = (name: string): Store => connection.transaction(name).objectStore(name)
  return {
    get: (name, key) => settled(store(name).get(key)),
    keys: (name, prefix) => settled(store(name).getAllKeys(IDBKeyRange.bound(prefix, `${prefix}\uffff`))),
    close: () => connection.close()
  }
}

function settled<T> (request: Request<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error ?? new Error('the request failed'))
  })
}
