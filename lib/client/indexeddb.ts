/** What is used of the Indexed Database API, of which the compiler knows nothing here, and promises for its requests. */
export interface Request<T> {
  readonly result: T
  readonly error: Error | null
  onsuccess: (() => void) | null
  onerror: ((event: { preventDefault (): void }) => void) | null
}

export interface Transaction {
  oncomplete: (() => void) | null
  onabort: (() => void) | null
  readonly error: Error | null
  objectStore (name: string): ObjectStore
  abort (): void
}

/** Names a run of keys. */
export interface KeyRange { readonly lower: unknown }

export interface ObjectStore {
  get (key: Key): Request<unknown>
  put (value: Uint8Array, key: Key): Request<unknown>
  delete (key: Key | KeyRange): Request<undefined>
  getAll (range: KeyRange, count?: number): Request<unknown[]>
  getAllKeys (range: KeyRange, count?: number): Request<unknown[]>
  openKeyCursor (range: KeyRange, direction: 'prev'): Request<{ readonly key: unknown } | null>
}

export type Key = string | Uint8Array

export interface Connection {
  readonly objectStoreNames: { contains (name: string): boolean }
  onversionchange: (() => void) | null
  createObjectStore (name: string): void
  transaction (stores: string[], mode: 'readonly' | 'readwrite', options?: { durability: 'strict' | 'relaxed' }): Transaction
  close (): void
}

export interface OpenRequest extends Request<Connection> {
  onupgradeneeded: (() => void) | null
  /** While the database is made. */
  readonly transaction: Transaction
}

interface Platform {
  indexedDB: { open (name: string, version?: number): OpenRequest }
  IDBKeyRange: { bound (from: Key, to: Key, fromOpen: boolean, toOpen: boolean): KeyRange }
}

const platform = (): Platform => globalThis as unknown as Platform

/** Opens a database; `create` fills it when there is none. */
export function openConnection (name: string, version: number | undefined, create: (request: OpenRequest) => void): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const request = platform().indexedDB.open(name, version)
    request.onupgradeneeded = () => create(request)
    request.onsuccess = () => resolve(request.result)
    request.onerror = (event) => {
      event.preventDefault()
      reject(request.error)
    }
  })
}

/** Opens a database in the version it has, or answers null where there is none, and makes none. */
export async function openExisting (name: string): Promise<Connection | null> {
  let missing = false
  try {
    return await openConnection(name, undefined, ({ transaction }) => {
      missing = true
      transaction.abort()
    })
  } catch (cause) {
    if (missing) return null
    throw cause
  }
}

export function settled<T> (request: Request<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}

/** The keys from `from`, itself included unless `after`, to before `to`. */
export function keyRange (from: Key, to: Key, after = false): KeyRange {
  return platform().IDBKeyRange.bound(from, to, after, true)
}
