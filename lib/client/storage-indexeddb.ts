import { type Connection, type ObjectStore, keyRange, openConnection, settled } from './indexeddb.js'
import type { Level, LevelEntry, LevelWalk, LevelWrite } from './storage-database.js'
import type { Range } from './storage-keys.js'

const STORE = 'records'
const VERSION = 1
const NOTHING = new Uint8Array()

/**
 * An IndexedDB database as an ordered store of bytes. Used directly: the abstract-level packages want `events` and `buffer` in a page,
 * cost it 14 KB, and leave durability to the browser, of which most take the weaker one.
 */
export function indexedLevel (name: string): Level {
  let connection: Connection | null = null

  function opened (): Connection {
    if (connection === null) throw new Error('the database is not open')
    return connection
  }

  function store (): ObjectStore {
    return opened().transaction([STORE], 'readonly').objectStore(STORE)
  }

  return {
    async open () {
      const made = await openConnection(name, VERSION, ({ result }) => result.createObjectStore(STORE))
      // Whoever deletes or upgrades the database waits for this; what is asked of it later fails, and opens it anew after that.
      made.onversionchange = () => made.close()
      connection = made
    },
    async close () {
      connection?.close()
      connection = null
    },
    async get (key) {
      const value = await settled(store().get(key))
      return value === undefined ? undefined : bytes(value)
    },
    async last ({ gte, lt }) {
      const found = await settled(store().openKeyCursor(keyRange(gte, lt), 'prev'))
      return found === null ? undefined : bytes(found.key)
    },
    iterator: ({ values = true, ...range }) => walk(store, range, values),
    batch: (writes, { sync }) => write(opened(), sync, (records) => {
      for (const each of writes) apply(records, each)
    }),
    clear: ({ gte, lt }) => write(opened(), true, (records) => { records.delete(keyRange(gte, lt)) })
  }
}

/** Each step is a transaction of its own, which goes on after the last key. */
function walk (store: () => ObjectStore, { gte, lt }: Range, values: boolean): LevelWalk {
  let from = gte
  let begun = false
  return {
    async nextv (size) {
      const range = keyRange(from, lt, begun)
      const records = store()
      const [keys, found] = await Promise.all([settled(records.getAllKeys(range, size)), values ? settled(records.getAll(range, size)) : null])
      const entries = keys.map((key, i): LevelEntry => [bytes(key), found === null ? NOTHING : bytes(found[i])])
      from = entries.at(-1)?.[0] ?? from
      begun ||= entries.length > 0
      return entries
    },
    async close () {}
  }
}

function apply (records: ObjectStore, write: LevelWrite): void {
  if (write.type === 'del') records.delete(write.key)
  else records.put(alone(write.value), write.key)
}

function write (connection: Connection, sync: boolean, task: (records: ObjectStore) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const transaction = connection.transaction([STORE], 'readwrite', { durability: sync ? 'strict' : 'relaxed' })
    transaction.oncomplete = resolve
    transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was aborted'))
    try {
      task(transaction.objectStore(STORE))
    } catch (cause) {
      transaction.onabort = () => reject(cause)
      transaction.abort()
    }
  })
}

/** A view would be stored with all of the buffer it looks into. */
function alone (view: Uint8Array): Uint8Array {
  return view.length === view.buffer.byteLength ? view : view.slice()
}

/** Keys come back as buffers, values as they were put. */
function bytes (value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array(value as ArrayBuffer)
}
