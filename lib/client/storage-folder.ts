import { ClassicLevel } from 'classic-level'
import { createLocks } from './locks.js'
import type { Storage } from './storage.js'
import type { Level } from './storage-database.js'
import { levelStorage } from './storage-level.js'

/** Nodes are mostly hashes and signatures: they do not shrink. */
const COMPRESSION = false
const NOTHING = new Uint8Array()

/**
 * Storage in a folder, for Node.js. The folder belongs to one process at a time and, within it, to one storage object, which serves all
 * rooms; another gets `client.storage`. It is made when it is missing.
 */
export function folderStorage ({ path }: { path: string }): Storage {
  if (typeof path !== 'string') throw new TypeError('path names a folder')
  if (path === '') throw new RangeError('path names a folder')
  return levelStorage({ name: `folder:${path}`, locks: createLocks(), connect: () => connect(path) })
}

function connect (path: string): Level {
  const level = new ClassicLevel<Uint8Array, Uint8Array>(path, { keyEncoding: 'view', valueEncoding: 'view', compression: COMPRESSION })
  return {
    open: () => level.open(),
    close: () => level.close(),
    async get (key) {
      const value = await level.get(key)
      return value === undefined ? undefined : plain(value)
    },
    async last (range) {
      const [key] = await level.keys({ ...range, reverse: true, limit: 1 }).all()
      return key
    },
    batch: (writes, options) => level.batch(writes, options),
    clear: (range) => level.clear(range),
    iterator (range) {
      const walk = level.iterator(range)
      return {
        nextv: async (size) => (await walk.nextv(size)).map(([key, value = NOTHING]) => [plain(key), plain(value)]),
        close: () => walk.close()
      }
    }
  }
}

/** The library answers with a Buffer, whose `slice` shares memory where that of a plain array copies. */
function plain (bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
}
