import { utf8Encode } from '../protocol/postcard.js'
import { checkAfter, checkAppend } from './append.js'
import { commit, commitNothing, commitState } from './level-commit.js'
import { type Level, type LevelDatabase, type LevelSource, levelDatabase } from './level-database.js'
import { storeError } from './level-error.js'
import { type Heads, levelHeads, readHead } from './level-heads.js'
import { HEADS, roomOf, stateKey } from './level-keys.js'
import { loadNodes } from './level-load.js'
import type { NodeStore, NodeStoreManifest } from './node-store.js'
import { checkRoom } from './room-id.js'
import { decodeState, encodeState } from './room-state.js'

type Reading = Pick<NodeStore, 'load' | 'rooms' | 'version' | 'state'>
type Writing = Pick<NodeStore, 'check' | 'append' | 'putState'>

/**
 * A node store over any database of the abstract-level family, which must hold bytes (`keyEncoding` and `valueEncoding` `'view'`)
 * and which nobody else writes to. The store opens and closes it. Layout: `level-keys.ts`.
 */
export function nodesOverLevel (source: LevelSource, manifest: NodeStoreManifest): NodeStore {
  const heads = levelHeads()
  const database = levelDatabase(source, heads.forget)
  const failed = (cause: unknown): never => { throw storeError(cause, true) }
  return {
    manifest,
    open: () => database.open().catch(failed),
    close: () => database.close().catch(failed),
    ...reading(database, heads),
    ...writing(database, heads)
  }
}

function reading (database: LevelDatabase, heads: Heads): Reading {
  const failed = (cause: unknown): never => { throw storeError(cause, database.isOpen) }
  return {
    async * load (room, after, damaged) {
      checkRoom(room)
      checkAfter(after)
      const db = database.opened()
      try {
        await database.readable(db)
        yield * loadNodes(db, room, after, await heads.of(db, room), damaged)
      } catch (cause) {
        failed(cause)
      }
    },
    async * rooms () {
      const db = database.opened()
      try {
        await database.readable(db)
        yield * allRooms(db)
      } catch (cause) {
        failed(cause)
      }
    },
    async version (room) {
      checkRoom(room)
      const db = database.opened()
      return await database.readable(db).then(() => heads.of(db, room)).catch(failed)
    },
    async state (room) {
      checkRoom(room)
      const db = database.opened()
      const stored = await database.readable(db).then(() => db.get(stateKey(room))).catch(failed)
      return stored === undefined ? null : decodeState(room, new TextDecoder().decode(stored))
    }
  }
}

async function * allRooms (db: Level): AsyncGenerator<{ room: string, seq: number }> {
  for await (const [key, value] of db.iterator(HEADS)) {
    const room = roomOf(key)
    yield { room, seq: readHead(room, value) }
  }
}

function writing (database: LevelDatabase, heads: Heads): Writing {
  const failed = (cause: unknown): never => { throw storeError(cause, database.isOpen) }
  return {
    async check () {
      const db = database.opened()
      await database.alone(() => commitNothing(database, db)).catch(failed)
    },
    async append (appends) {
      const db = database.opened()
      appends.forEach(checkAppend)
      return await database.alone(() => commit(database, db, heads, appends)).catch(failed)
    },
    async putState (room, state) {
      checkRoom(room)
      const value = utf8Encode(encodeState(state))
      const db = database.opened()
      await database.alone(() => commitState(database, db, heads, room, value)).catch(failed)
    }
  }
}
