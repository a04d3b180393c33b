import { NodalmergeError } from '../errors.js'
import { inTurn } from './in-turn.js'
import { FORMAT_RECORD, isBlank } from './level-format.js'

/** What is used of a database of the abstract-level family; keys and values are bytes (`'view'`). */
export interface Level {
  open (): Promise<void>
  close (): Promise<void>
  get (key: Uint8Array): Promise<Uint8Array | undefined>
  getMany (keys: Uint8Array[]): Promise<(Uint8Array | undefined)[]>
  /** All or nothing. With `sync` it waits until the disk has it; databases without a disk do not know the option. */
  batch (operations: LevelPut[], options: { sync: boolean }): Promise<void>
  keys (range: LevelRange): { all (): Promise<Uint8Array[]> }
  /** `highWaterMarkBytes` ends a batch early; not every database knows the option. */
  iterator (range: LevelRange & { highWaterMarkBytes?: number }): LevelWalk
}

export interface LevelPut { type: 'put', key: Uint8Array, value: Uint8Array }
export interface LevelRange { gte?: Uint8Array, lte?: Uint8Array, lt?: Uint8Array, reverse?: boolean, limit?: number }
export type LevelEntry = [Uint8Array, Uint8Array]

/** A walk over one snapshot of the database. */
export interface LevelWalk extends AsyncIterable<LevelEntry> {
  nextv (size: number): Promise<LevelEntry[]>
  close (): Promise<void>
}

/** Where a database comes from. */
export interface LevelSource {
  /** Makes the database object, which may begin to open itself: asked for only when the store is opened. */
  connect (): Level
  /** Resolves when there is space for reopening the database after a failed write, throws otherwise. */
  space (): Promise<void>
}

/** A database together with what is known of it: whether it is wanted open, and whether it may be written to. */
export interface LevelDatabase {
  readonly isOpen: boolean
  /** Idempotent. Throws `store.format_newer`, `store.format_foreign` or what the database throws. */
  open (): Promise<void>
  /** Waits for the tasks that were begun. Idempotent. */
  close (): Promise<void>
  /** The open database, to be waited for before it is used. Throws `store.closed`. */
  opened (): Level
  /** Waits until it may be read; after a failed write it then shows whether that was kept, if the disk allows it. */
  readable (db: Level): Promise<void>
  /** Waits until it may be written to: it is reopened first when a write has failed since it was opened. */
  writable (db: Level): Promise<void>
  /** Runs one task at a time, in order; all writing belongs in one, and closing waits for them. */
  alone<T> (task: () => Promise<T>): Promise<T>
  /** One durable commit. */
  write (db: Level, operations: LevelPut[]): Promise<void>
}

/** `forget` is called whenever what was read before may no longer hold. */
export function levelDatabase (source: LevelSource, forget: () => void): LevelDatabase {
  const mender = levelMender(() => source.space(), forget)
  const alone = inTurn()
  const turn = inTurn()
  let db: Level | null = null
  let isOpen = false

  return {
    get isOpen () { return isOpen },
    open: () => turn(async () => {
      if (db === null) {
        db = await openLevel(source.connect())
        mender.opened()
      }
      isOpen = true
    }),
    close: () => turn(async () => {
      isOpen = false
      await alone(async () => {
        await mender.settled()
        await db?.close()
        db = null
        forget()
      })
    }),
    opened () {
      if (!isOpen || db === null) throw new NodalmergeError('store.closed')
      return db
    },
    readable: mender.readable,
    writable: mender.writable,
    alone,
    async write (level, operations) {
      try {
        await level.batch(operations, { sync: true })
      } catch (cause) {
        mender.failed()
        throw cause
      }
    }
  }
}

async function openLevel (db: Level): Promise<Level> {
  await db.open()
  try {
    if (await isBlank(db)) await db.batch([FORMAT_RECORD], { sync: true })
    return db
  } catch (cause) {
    await db.close()
    throw cause
  }
}

interface LevelMender {
  /** To be told when another database was opened. */
  opened (): void
  /** To be told of every failed write. */
  failed (): void
  /** Waits until the database may be read, which it may be, as it was before the failure, while there is no space to reopen it. */
  readable (db: Level): Promise<void>
  /** Waits until the database may be written to. */
  writable (db: Level): Promise<void>
  /** Waits until nobody reopens it. */
  settled (): Promise<void>
}

/**
 * After a failed write LevelDB must not be written to again: its log may end in half a record, behind which later commits would be
 * lost at the next start, and it may or may not contain the commit that failed. Reopening reads the log and starts a new one, so
 * that what is there afterwards is all there is, and durable. Until there is space for that the database stays open for readers.
 */
function levelMender (space: () => Promise<void>, forget: () => void): LevelMender {
  let condition: 'sound' | 'suspect' | 'shut' = 'sound'
  let mending: Promise<void> | null = null

  const sound = (): boolean => condition === 'sound'
  const shut = (): boolean => condition === 'shut'
  const reopen = async (db: Level): Promise<void> => {
    if (!shut()) await space()
    condition = 'shut'
    await db.close()
    await db.open()
    forget()
    condition = 'sound'
  }
  const mend = async (db: Level): Promise<void> => {
    mending ??= reopen(db).finally(() => { mending = null })
    await mending
  }
  return {
    opened () { condition = 'sound' },
    failed () { condition = 'suspect' },
    async readable (db) {
      try {
        if (!sound()) await mend(db)
      } catch (cause) {
        if (shut()) throw cause
      }
    },
    async writable (db) {
      if (!sound()) await mend(db)
    },
    async settled () {
      await Promise.allSettled([mending])
    }
  }
}
