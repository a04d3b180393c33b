import { MemoryLevel } from 'memory-level'
import type { Level, LevelEntry } from '../../lib/store/level-database.js'

/** A database that behaves like LevelDB on a bad disk, and counts what it is asked. */
export interface FaultyLevel extends Level {
  /** What the next commits do: vanish or stay, and fail either way. Until it is reopened every further one fails. */
  fail: ('lost' | 'kept')[]
  /** How often opening fails from now on. */
  failOpen: number
  /** Hides entries as unreadable blocks do: walks pass over them and fail where they end. */
  unreadable: ((key: Uint8Array) => boolean) | null
  /** What the next walks throw. */
  failWalks: Error | null
  failClose: boolean
  /** What closing waits for. */
  slowClose: Promise<void> | null
  opened: number
  reads: number
}

const error = (code: string): Error => Object.assign(new Error('No space left on device'), { code })

export function faultyLevel (): FaultyLevel {
  const db = new MemoryLevel<Uint8Array, Uint8Array>({ keyEncoding: 'view', valueEncoding: 'view' })
  let broken = false
  const level: FaultyLevel = {
    fail: [],
    failOpen: 0,
    unreadable: null,
    failWalks: null,
    failClose: false,
    slowClose: null,
    opened: 0,
    reads: 0,
    async open () {
      if (level.failOpen-- > 0) throw error('LEVEL_IO_ERROR')
      await db.open()
      broken = false
      level.opened++
    },
    async close () {
      if (level.failClose) throw error('LEVEL_DATABASE_NOT_CLOSED')
      await level.slowClose
      await db.close()
    },
    async get (key) {
      level.reads++
      return await db.get(key)
    },
    async getMany (keys) {
      level.reads++
      return await db.getMany(keys)
    },
    async batch (operations) {
      const failure = level.fail.shift()
      if (!broken && failure !== 'lost') await db.batch(operations)
      if (!broken && failure === undefined) return
      broken = true
      throw error('LEVEL_IO_ERROR')
    },
    keys: (range) => db.keys(range),
    iterator (range) {
      const walk = db.iterator(range)
      let hidden = false
      const visible = (entry: LevelEntry): boolean => {
        const hide = level.unreadable?.(entry[0]) ?? false
        hidden ||= hide
        return !hide
      }
      return {
        async nextv (size) {
          level.reads++
          if (level.failWalks !== null) throw level.failWalks
          const found: LevelEntry[] = []
          while (found.length < size) {
            const [entry] = await walk.nextv(1)
            if (entry === undefined) {
              if (hidden) throw error('LEVEL_CORRUPTION')
              break
            }
            if (visible(entry)) found.push(entry)
          }
          return found
        },
        close: () => walk.close(),
        [Symbol.asyncIterator]: () => walk[Symbol.asyncIterator]()
      }
    }
  }
  return level
}
