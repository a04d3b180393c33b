import type { Locks } from './locks.js'
import type { RoomStorage, Storage } from './storage.js'
import { type Level, createDatabase, storageError } from './storage-database.js'
import { roomKeys } from './storage-keys.js'
import { type LegacyRoom, importLegacy } from './storage-import.js'
import { createLog } from './storage-log.js'
import { createRoomStorage } from './storage-room.js'

export interface LevelParts {
  /** Tells this database from others in the names of locks. */
  name: string
  /** Makes the database object, which may begin to open itself. */
  connect: () => Level
  locks: Locks
  /** What an earlier client kept of a room, or null. */
  legacy?: (room: string) => Promise<LegacyRoom | null>
}

/** Storage in an ordered database, whichever it is. */
export function levelStorage ({ name, connect, locks, legacy }: LevelParts): Storage {
  const database = createDatabase(connect)

  async function prepared (room: string): Promise<RoomStorage> {
    const keys = roomKeys(room)
    const log = createLog(database, keys)
    const inUse = `nodalmerge:room:${name}:${room}`
    const alone = await locks.hold(inUse, { ifAvailable: true })
    try {
      if (alone !== null) await log.merge()
      if (legacy !== undefined) await importLegacy({ database, keys, log, read: () => legacy(room) })
    } finally {
      await alone?.()
    }
    const present = await locks.hold(inUse, { mode: 'shared' })
    return createRoomStorage({ room, database, keys, log, locks, present })
  }

  return {
    async open (room) {
      if (typeof room !== 'string') throw new TypeError('a room is named by a string')
      roomKeys(room)
      await database.acquire()
      try {
        return await prepared(room)
      } catch (cause) {
        await database.release()
        throw storageError(cause)
      }
    }
  }
}
