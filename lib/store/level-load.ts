import type { Level, LevelEntry } from './level-database.js'
import { isCode } from './level-error.js'
import { nodeKeys, seqOf } from './level-keys.js'
import { readRecord } from './level-record.js'
import { CHUNK_BYTES, type StoredChunk } from './node-store.js'

/** Entries fetched at once: what crosses from the database's thread in about a millisecond (`READ_AHEAD` may end it earlier). */
const BATCH = 1000

type Damaged = (seq: number, cause: unknown) => void

/**
 * A room's nodes with `after < seq <= head` at least. What is missing between two records or before `head` is reported under its
 * first seq, together with what made the record before it end early.
 */
export async function * loadNodes (
  db: Level, room: string, after: number, head: number, damaged: Damaged
): AsyncGenerator<StoredChunk> {
  const key = nodeKeys(room)
  const first = after === 0 ? key(0) : await recordBefore(db, key, after + 1)
  let expected = after + 1
  let cause: unknown
  const gap = (seq: number): void => {
    if (seq > expected) damaged(expected, cause ?? new Error(`nodes ${expected} to ${seq - 1} are missing`))
  }
  for await (const batch of entries(db, first, key(Number.MAX_SAFE_INTEGER))) {
    const nodes: Uint8Array[] = []
    let size = 0
    for (const [at, value] of batch) {
      const seq = seqOf(at)
      if (size + value.length > CHUNK_BYTES && nodes.length > 0) {
        yield { nodes: nodes.splice(0), last: expected - 1 }
        size = 0
      }
      gap(seq)
      size += value.length
      const read = readRecord(value, seq, after, nodes, damaged)
      expected = Math.max(read.next, after + 1)
      cause = read.cause
    }
    if (nodes.length > 0) yield { nodes, last: expected - 1 }
  }
  gap(head + 1)
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
