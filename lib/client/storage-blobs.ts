import { fromHex, toHex } from '../protocol/hex.js'
import type { Database, LevelWrite } from './storage-database.js'
import type { RoomKeys } from './storage-keys.js'

/** Blobs of a room and the mark of those that no server has. */
export interface Blobs {
  get (hash: string): Promise<Uint8Array | null>
  put (hash: string, bytes: Uint8Array, uploaded: boolean): Promise<void>
  uploaded (hash: string): Promise<void>
  unsent (): Promise<string[]>
}

const NOTHING = new Uint8Array()

export function createBlobs (database: Database, keys: RoomKeys): Blobs {
  return {
    async get (hash) {
      const key = keys.blob(bytesOfHash(hash))
      return await database.run((level) => level.get(key)) ?? null
    },
    async put (hash, bytes, uploaded) {
      const id = bytesOfHash(hash)
      const mark: LevelWrite = uploaded ? { type: 'del', key: keys.unsentBlob(id) } : { type: 'put', key: keys.unsentBlob(id), value: NOTHING }
      await database.write([{ type: 'put', key: keys.blob(id), value: bytes }, mark], !uploaded)
    },
    async uploaded (hash) {
      await database.write([{ type: 'del', key: keys.unsentBlob(bytesOfHash(hash)) }], false)
    },
    async unsent () {
      const hashes: string[] = []
      for await (const [key] of database.entries({ ...keys.unsent, values: false })) hashes.push(toHex(keys.tail(key)))
      return hashes
    }
  }
}

/** Throws RangeError for anything but 64 hexadecimal digits. */
export function bytesOfHash (hash: string): Uint8Array {
  const bytes = fromHex(hash, 32)
  if (bytes === null) throw new RangeError('the hash of a blob has 64 hexadecimal digits')
  return bytes
}
