import { MemoryLevel } from 'memory-level'
import type { Level } from '../../lib/client/storage-database.js'

/** A database on a bad disk: the named calls fail as often as told; a batch that fails is lost, or kept all the same. */
export interface FaultyLevel extends Level {
  fail: Array<'open' | 'close' | 'get' | 'lost' | 'kept' | 'nextv' | 'clear'>
  opened: number
  batches: Array<{ sync: boolean, deleted: number }>
}

export function faultyLevel (): FaultyLevel {
  const db = new MemoryLevel<Uint8Array, Uint8Array>({ keyEncoding: 'view', valueEncoding: 'view' })

  function due (name: FaultyLevel['fail'][number]): boolean {
    if (level.fail[0] !== name) return false
    level.fail.shift()
    return true
  }

  function check (name: FaultyLevel['fail'][number]): void {
    if (due(name)) throw Object.assign(new Error('The quota has been exceeded.'), { name: 'QuotaExceededError' })
  }

  const level: FaultyLevel = {
    fail: [],
    opened: 0,
    batches: [],
    async open () {
      check('open')
      await db.open()
      level.opened++
    },
    async close () {
      check('close')
      await db.close()
    },
    async get (key) {
      check('get')
      return await db.get(key)
    },
    async batch (writes, options) {
      level.batches.push({ ...options, deleted: writes.filter(({ type }) => type === 'del').length })
      check('lost')
      await db.batch(writes)
      check('kept')
    },
    async clear (range) {
      check('clear')
      await db.clear(range)
    },
    async last (range) {
      check('nextv')
      const [key] = await db.keys({ ...range, reverse: true, limit: 1 }).all()
      return key
    },
    iterator (range) {
      const walk = db.iterator(range)
      return {
        async nextv (size) {
          check('nextv')
          return (await walk.nextv(size)).map(([key, value = new Uint8Array()]) => [key, value])
        },
        close: () => walk.close()
      }
    }
  }
  return level
}
