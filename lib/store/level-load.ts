import type { Level, LevelEntry } from './level-database.js'
import { isCode } from './level-error.js'
import { nodeKeys, seqOf } from './level-keys.js'
import { readRecord } from './level-record.js'
import { CHUNK_BYTES, type StoredChunk } from './node-store.js'

/** Entries fetched at once: what crosses from the database's thread in about a millisecond (`READ_AHEAD` may end it earlier). */
const BATCH = 1000

type Damaged = (seq: number, cause: unknown) => void

/**
 * A room's nodes with `after < seq <= head` at least, from one snapshot of the database. What is missing between two records or
 * before `head` is reported like what cannot be read.
 */
export async function * loadNodes (
  db: Level, room: string, after: number, head: number, damaged: Damaged
): AsyncGenerator<StoredChunk> {
  const key = nodeKeys(room)
  const first = after === 0 ? key(0) : await recordBefore(db, key, after + 1)
  let expected = after + 1
  for await (const batch of entries(db, first, key(Number.MAX_SAFE_INTEGER))) {
    const nodes: Uint8Array[] = []
    let size = 0
    let last = after
    for (const [at, value] of batch) {
      const seq = seqOf(at)
      if (seq > expected && expected > 0) damaged(expected, missing(expected, seq - 1))
      if (size + value.length > CHUNK_BYTES && nodes.length > 0) {
        yield { nodes: nodes.splice(0), last }
        size = 0
      }
      size += value.length
      expected = readRecord(value, seq, after, nodes, damaged)
      last = expected - 1
    }
    if (nodes.length > 0) yield { nodes, last }
  }
  if (expected > 0 && expected <= head) damaged(expected, missing(expected, head))
}

function missing (from: number, to: number): Error {
  return new Error(`nodes ${from} to ${to} are missing`)
}

/** Key of the record that holds a seq: the last one that does not start after it. */
async function recordBefore (db: Level, key: (seq: number) => Uint8Array, seq: number): Promise<Uint8Array> {
  const [found] = await db.keys({ gte: key(0), lte: key(seq), reverse: true, limit: 1 }).all()
  return found ?? key(seq)
}

/**
 * Entries in batches. LevelDB skips a block it cannot read, says so only where a walk ends, and then withholds the last batch: so
 * the walk is taken up again in single steps behind the last entry seen. What was skipped shows as a gap in the seqs.
 */
async function * entries (db: Level, gte: Uint8Array, lte: Uint8Array): AsyncGenerator<LevelEntry[]> {
  let size = BATCH
  let walk = db.iterator({ gte, lte, ...READ_AHEAD })
  try {
    for (;;) {
      let batch: LevelEntry[]
      try {
        batch = await walk.nextv(size)
      } catch (cause) {
        if (!isCode(cause, 'LEVEL_CORRUPTION')) throw cause
        if (size === 1) return
        size = 1
        await walk.close()
        walk = db.iterator({ gte, lte, ...READ_AHEAD })
        continue
      }
      if (batch.length === 0) return
      gte = afterKey(batch[batch.length - 1][0])
      yield batch
    }
  } finally {
    await walk.close()
  }
}

/** A quarter of a chunk: a thousand nodes are scanned here and then indexed by a room without holding up the event loop for long. */
const READ_AHEAD = { highWaterMarkBytes: CHUNK_BYTES / 4 }

/** The next possible key. */
function afterKey (key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1)
  next.set(key)
  return next
}
