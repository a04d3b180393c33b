import { NodalmergeError } from '../errors.js'
import type { Level } from './level-database.js'
import { headKey, readSeq } from './level-keys.js'

/** The last seq of rooms lately appended to, so that an append does not have to read. */
export interface Heads {
  /** A room's last seq, 0 when there is none. Remembers nothing: a commit may be under way. */
  of (db: Level, room: string): Promise<number>
  /** Reads what is not known of these rooms; only while no commit is under way. */
  learn (db: Level, rooms: readonly string[]): Promise<void>
  /** The last seq of a room that was learned, 0 when there is none. */
  known (room: string): number
  set (room: string, seq: number): void
  forget (): void
}

/** About 2 MB; a server with more rooms in use reads some heads again. */
const REMEMBERED = 16_384

export function levelHeads (): Heads {
  const heads = new Map<string, number>()

  return {
    async of (db, room) {
      return heads.get(room) ?? readHead(room, await db.get(headKey(room)))
    },
    async learn (db, rooms) {
      if (heads.size > REMEMBERED) heads.clear()
      const unknown = rooms.filter((room) => !heads.has(room))
      if (unknown.length === 0) return
      const stored = await db.getMany(unknown.map(headKey))
      for (const [i, bytes] of stored.entries()) if (bytes !== undefined) heads.set(unknown[i], readHead(unknown[i], bytes))
    },
    known: (room) => heads.get(room) ?? 0,
    set: (room, seq) => { heads.set(room, seq) },
    forget: () => { heads.clear() }
  }
}

/** A head that cannot be read fails the room: appending behind a guess could overwrite nodes. */
export function readHead (room: string, stored: Uint8Array | undefined): number {
  if (stored === undefined) return 0
  if (stored.length === 8) return readSeq(stored, 0)
  throw new NodalmergeError('store.failed', `the last seq of room ${JSON.stringify(room)} cannot be read`)
}
