import { checkSeen, positions, sieve } from './append.js'
import type { Level, LevelDatabase, LevelPut } from './level-database.js'
import { FORMAT_RECORD } from './level-format.js'
import type { Heads } from './level-heads.js'
import { headKey, nodeKeys, seqBytes, stateKey } from './level-keys.js'
import { loadNodes } from './level-load.js'
import { nodeRecords } from './level-record.js'
import type { Append, Appended } from './node-store.js'

/** What one commit adds to a room whose last seq is `head`. */
interface Addition { head: number, nodes: Uint8Array[] }

/** Appends in one commit; like all commits, to be run alone. */
export async function commit (database: LevelDatabase, db: Level, heads: Heads, appends: readonly Append[]): Promise<Appended[]> {
  await database.writable(db)
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
export async function commitState (database: LevelDatabase, db: Level, heads: Heads, room: string, value: Uint8Array): Promise<void> {
  await database.writable(db)
  await heads.learn(db, [room])
  await database.write(db, [put(stateKey(room), value), put(headKey(room), seqBytes(heads.known(room)))])
}

/** Writes something that changes nothing. */
export async function commitNothing (database: LevelDatabase, db: Level): Promise<void> {
  await database.writable(db)
  await database.write(db, [FORMAT_RECORD])
}
