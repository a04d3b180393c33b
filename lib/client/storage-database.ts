import { NodalmergeError } from '../errors.js'
import { FORMAT_KEY, type Range } from './storage-keys.js'
import { createTurn } from './turn.js'

/** An ordered store of bytes by bytes, as the abstract-level family has them. */
export interface Level {
  open (): Promise<void>
  close (): Promise<void>
  get (key: Uint8Array): Promise<Uint8Array | undefined>
  /** All or nothing. With `sync` it resolves when a crash of the machine cannot undo it. */
  batch (writes: LevelWrite[], options: { sync: boolean }): Promise<void>
  /** The greatest key of a range. */
  last (range: Range): Promise<Uint8Array | undefined>
  iterator (range: LevelRange): LevelWalk
  clear (range: Range): Promise<void>
}

export type LevelWrite = { type: 'put', key: Uint8Array, value: Uint8Array } | { type: 'del', key: Uint8Array }
export type LevelRange = Range & { values?: boolean }
/** Without values, what stands for the value is empty. */
export type LevelEntry = [key: Uint8Array, value: Uint8Array]
export interface LevelWalk {
  nextv (size: number): Promise<LevelEntry[]>
  close (): Promise<void>
}

/** One database for all rooms that are open; it is open while one of them is. */
export interface Database {
  acquire (): Promise<void>
  release (): Promise<void>
  /** Throws `client.storage` for whatever the task or the database throws. */
  run<T> (task: (level: Level) => Promise<T>): Promise<T>
  write (writes: LevelWrite[], sync: boolean): Promise<void>
  entries (range: LevelRange): AsyncGenerator<LevelEntry, void, void>
}

const FORMAT = Uint8Array.of(1)
/** Bytes asked for at a time, and the most entries. */
const READ_BYTES = 1 << 20
const READ_ENTRIES = 1000
const FIRST_ENTRIES = 16

export function storageError (cause: unknown): NodalmergeError {
  return cause instanceof NodalmergeError && cause.code === 'client.storage' ? cause : new NodalmergeError('client.storage', undefined, { cause })
}

/** `connect` makes the database object, which may begin to open itself. */
export function createDatabase (connect: () => Level): Database {
  const turn = createTurn()
  let level: Level | null = null
  let users = 0
  let suspect = false

  async function opened (): Promise<Level> {
    if (suspect) await turn(mend)
    if (level === null) throw new NodalmergeError('client.storage', 'the storage is closed')
    return level
  }

  /**
   * After a failure the database is opened anew before it is used again: the log of a LevelDB may end in half a record, behind which
   * later writes would be lost, and a browser may have cut the connection.
   */
  async function mend (): Promise<void> {
    if (!suspect) return
    await level?.close()
    await level?.open()
    suspect = false
  }

  const self: Database = {
    acquire: () => turn(async () => {
      try {
        level ??= await openLevel(connect())
        users++
      } catch (cause) {
        throw storageError(cause)
      }
    }),
    release: () => turn(async () => {
      users--
      if (users > 0) return
      const last = level
      level = null
      suspect = false
      try {
        await last?.close()
      } catch (cause) {
        throw storageError(cause)
      }
    }),
    async run (task) {
      try {
        return await task(await opened())
      } catch (cause) {
        suspect = level !== null
        throw storageError(cause)
      }
    },
    write: (writes, sync) => self.run((level) => level.batch(writes, { sync })),
    async * entries (range) {
      const walk = await self.run(async (level) => level.iterator(range))
      try {
        let size = FIRST_ENTRIES
        for (let found = await self.run(() => walk.nextv(size)); found.length > 0; found = await self.run(() => walk.nextv(size))) {
          const bytes = found.reduce((sum, [key, value]) => sum + key.length + value.length, 0)
          size = Math.max(1, Math.min(READ_ENTRIES, Math.floor(found.length * READ_BYTES / bytes)))
          yield * found
        }
      } finally {
        await walk.close()
      }
    }
  }
  return self
}

async function openLevel (level: Level): Promise<Level> {
  await level.open()
  try {
    const format = await level.get(FORMAT_KEY)
    if (format === undefined) await level.batch([{ type: 'put', key: FORMAT_KEY, value: FORMAT }], { sync: true })
    else if (format[0] !== FORMAT[0]) throw new NodalmergeError('client.storage', 'the storage was written by a newer version')
    return level
  } catch (cause) {
    await level.close()
    throw cause
  }
}
