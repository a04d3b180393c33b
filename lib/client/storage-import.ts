import type { Database, LevelWrite } from './storage-database.js'
import type { RoomKeys } from './storage-keys.js'
import { createBlobs } from './storage-blobs.js'
import type { Log } from './storage-log.js'

/** What an earlier client kept of a room: whole encoded nodes, parents first, and blobs by their hash in hexadecimal. */
export interface LegacyRoom {
  nodes: readonly Uint8Array[]
  blobs (): AsyncIterable<[hash: string, bytes: Uint8Array]>
  close (): void
}

export interface ImportParts {
  database: Database
  keys: RoomKeys
  log: Log
  /** Resolves to null when there is nothing. */
  read: () => Promise<LegacyRoom | null>
}

const DONE = new Uint8Array()

/**
 * Takes over what an earlier client kept, the first time a room is opened. The nodes count as confirmed: what the server does not have
 * of them is uploaded after the next welcome. The blobs count as not uploaded, because nothing was kept of that. Data that cannot be
 * read do not keep the room from being opened; the next opening tries again.
 */
export async function importLegacy ({ database, keys, log, read }: ImportParts): Promise<void> {
  if (await database.run((level) => level.get(keys.imported)) !== undefined) return
  const found = await read().then((room) => ({ room }), () => null)
  if (found === null) return
  const { room } = found
  try {
    const blobs = createBlobs(database, keys)
    if (room !== null) for await (const [hash, bytes] of room.blobs()) await blobs.put(hash, bytes, false)
    const done: LevelWrite = { type: 'put', key: keys.imported, value: DONE }
    await database.write([...await log.append(room?.nodes ?? []), done], true)
  } finally {
    room?.close()
  }
}
