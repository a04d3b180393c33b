import { utf8Encode } from '../protocol/postcard.js'
import { checkAfter, checkAppend, checkSeen, positions, sieve } from './append.js'
import { type Level, type LevelDatabase, type LevelPut, type LevelSource, levelDatabase } from './level-database.js'
import { storeError } from './level-error.js'
import { type Heads, levelHeads, readHead } from './level-heads.js'
import { HEADS, headKey, nodeKeys, roomOf, seqBytes, stateKey } from './level-keys.js'
import { loadNodes } from './level-load.js'
import { nodeRecords } from './level-record.js'
import type { Append, Appended, NodeStore, NodeStoreManifest } from './node-store.js'
import { checkRoom } from './room-id.js'
import { decodeState, encodeState } from './room-state.js'

/**
 * A node store over any database of the abstract-level family, which must hold bytes (`keyEncoding` and `valueEncoding` `'view'`)
 * and which nobody else writes to. The store opens and closes it. Layout: `level-keys.ts`.
 */
export function nodesOverLevel (source: LevelSource, manifest: NodeStoreManifest): NodeStore {
  const heads = levelHeads()
  const database = levelDatabase(source, heads.forget)
  const failures = (cause: unknown): never => { throw storeError(cause, database.isOpen) }
  const stuck = (cause: unknown): never => { throw storeError(cause, true) }

  return {
    manifest,
    open: () => database.open().catch(stuck),
    close: () => database.close().catch(stuck),
    async check () {
      database.opened()
      await database.check().catch(failures)
    },
    async * load (room, after, damaged) {
      checkRoom(room)
      checkAfter(after)
      database.opened()
      try {
        const level = await database.readable()
        yield * loadNodes(level, room, after, await heads.of(level, room), damaged)
      } catch (cause) {
        failures(cause)
      }
    },
    async append (appends) {
      database.opened()
      appends.forEach(checkAppend)
      return await database.alone(() => commit(database, heads, appends)).catch(failures)
    },
    async * rooms () {
      database.opened()
      try {
        const level = await database.readable()
        for await (const [key, value] of level.iterator(HEADS)) {
          const room = roomOf(key)
          yield { room, seq: readHead(room, value) }
        }
      } catch (cause) {
        failures(cause)
      }
    },
    async version (room) {
      checkRoom(room)
      database.opened()
      return await database.readable().then((level) => heads.of(level, room)).catch(failures)
    },
    async state (room) {
      const key = stateKey(room)
      database.opened()
      const stored = await database.readable().then((level) => level.get(key)).catch(failures)
      return stored === undefined ? null : decodeState(room, new TextDecoder().decode(stored))
    },
    async putState (room, state) {
      const key = stateKey(room)
      const value = utf8Encode(encodeState(state))
      database.opened()
      await database.alone(() => commitState(database, heads, room, { type: 'put', key, value })).catch(failures)
    }
  }
}

/** What one commit adds to a room whose last seq is `head`. */
interface Addition { head: number, nodes: Uint8Array[] }

async function commit (database: LevelDatabase, heads: Heads, appends: readonly Append[]): Promise<Appended[]> {
  const db = await database.writable()
  await heads.learn(db, appends.map(({ room }) => room))
  const additions = new Map<string, Addition>()
  const answers: Appended[] = []
  for (const append of appends) {
    const addition = additions.get(append.room) ?? { head: heads.known(append.room), nodes: [] }
    additions.set(append.room, addition)
    answers.push(await add(db, append, addition))
  }
  const operations = Array.from(additions).flatMap(([room, addition]) => puts(room, addition))
  if (operations.length > 0) await database.write(db, operations)
  for (const [room, { head, nodes }] of additions) heads.set(room, head + nodes.length)
  return answers
}

async function add (db: Level, append: Append, addition: Addition): Promise<Appended> {
  checkSeen(append, addition.head)
  const seen = append.after === addition.head && addition.nodes.length === 0
  const kept = seen ? positions(append.nodes) : await unstored(db, append, addition)
  for (const i of kept) addition.nodes.push(append.nodes[i])
  return { room: append.room, last: addition.head + addition.nodes.length, kept }
}

async function unstored (db: Level, append: Append, { head, nodes }: Addition): Promise<number[]> {
  const found = sieve(append.nodes)
  for await (const chunk of loadNodes(db, append.room, append.after, head, reportedByLoad)) chunk.nodes.forEach(found.stored)
  nodes.forEach(found.stored)
  return found.kept()
}

/** A node that cannot be read is not there: it is stored again. */
function reportedByLoad (): void {}

function puts (room: string, { head, nodes }: Addition): LevelPut[] {
  if (nodes.length === 0) return []
  const key = nodeKeys(room)
  const records = nodeRecords(nodes).map(({ first, value }) => put(key(head + 1 + first), value))
  return [...records, put(headKey(room), seqBytes(head + nodes.length))]
}

function put (key: Uint8Array, value: Uint8Array): LevelPut {
  return { type: 'put', key, value }
}

/** The head is written too, if only as 0: it is by its head that a room is found. */
async function commitState (database: LevelDatabase, heads: Heads, room: string, state: LevelPut): Promise<void> {
  const db = await database.writable()
  await heads.learn(db, [room])
  await database.write(db, [state, put(headKey(room), seqBytes(heads.known(room)))])
}
