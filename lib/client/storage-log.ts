import { createIdTable, findId, insertId } from '../dag/id-table.js'
import { concat } from '../protocol/bytes.js'
import { type NodeView, bytesOf } from '../protocol/node.js'
import { encodePack, scanPack } from '../protocol/pack.js'
import type { Database, LevelWrite } from './storage-database.js'
import { PLACE_LENGTH, type RoomKeys, readUint32, uint32 } from './storage-keys.js'

/**
 * The confirmed nodes of a room, as packs in chunks that are only ever appended. Each tab that writes takes the turn after the last one
 * it finds, so that in the order of the keys parents come first: what a tab depends on, it wrote itself or read before it took its turn.
 */
export interface Log {
  packs (): AsyncGenerator<Uint8Array, void, void>
  /** What has to be written to append these nodes. A chunk's place is never used again, even when the write fails. */
  append (nodes: readonly Uint8Array[]): Promise<LevelWrite[]>
  /** Merges small chunks into larger ones; only for who holds the room alone, because others may be reading. */
  merge (): Promise<void>
}

const CHUNK_BYTES = 256 * 1024
/** Chunks below this are merged. */
const SMALL_BYTES = 64 * 1024
/** Fewer small chunks in a row are left as they are. */
const LEAST_MERGED = 8
/** What is rewritten at one opening; the rest waits for the next. */
const MOST_MERGED_BYTES = 4 * 1024 * 1024

interface Chunk { key: Uint8Array, bytes: number }

export function createLog (database: Database, keys: RoomKeys): Log {
  const name = crypto.getRandomValues(new Uint8Array(8))
  let turn: Promise<Uint8Array> | null = null
  let sequence = 0

  async function takeTurn (): Promise<Uint8Array> {
    const last = await database.run((level) => level.last(keys.chunks))
    return concat([uint32(last === undefined ? 1 : readUint32(keys.tail(last), 0) + 1), name])
  }

  async function nextPlace (): Promise<Uint8Array> {
    turn ??= takeTurn()
    try {
      return concat([await turn, uint32(sequence++)])
    } catch (cause) {
      turn = null
      throw cause
    }
  }

  /** A group is a run of neighbours; its pack takes the place of the first. */
  async function replace (group: readonly Chunk[]): Promise<void> {
    const packs: Uint8Array[] = []
    for await (const [, pack] of database.entries({ gte: group[0].key, lt: concat([group[group.length - 1].key, Uint8Array.of(0)]) })) packs.push(pack)
    const pack = mergePacks(packs)
    if (pack === null) return
    const place = keys.tail(group[0].key).slice(0, PLACE_LENGTH)
    const gone = group.map(({ key }) => ({ type: 'del', key }) as const)
    await database.write([...gone, { type: 'put', key: keys.chunk(place, pack.length), value: pack }], false)
  }

  return {
    async * packs () {
      for await (const [, pack] of database.entries(keys.chunks)) yield pack
    },
    async append (nodes) {
      const writes: LevelWrite[] = []
      for (const pack of packsOf(nodes)) writes.push({ type: 'put', key: keys.chunk(await nextPlace(), pack.length), value: pack })
      return writes
    },
    async merge () {
      const groups = createGroups()
      for await (const [key] of database.entries({ ...keys.chunks, values: false })) {
        groups.add({ key, bytes: readUint32(keys.tail(key), PLACE_LENGTH) })
        if (groups.bytes > MOST_MERGED_BYTES) break
      }
      for (const group of groups.end()) await replace(group)
    }
  }
}

/** Packs of at most a chunk's size; a larger node has one of its own. */
function packsOf (nodes: readonly Uint8Array[]): Uint8Array[] {
  const packs: Uint8Array[] = []
  let from = 0
  let bytes = 0
  for (const [i, node] of nodes.entries()) {
    if (bytes > 0 && bytes + node.length > CHUNK_BYTES) {
      packs.push(encodePack(nodes.slice(from, i)))
      from = i
      bytes = 0
    }
    bytes += node.length
  }
  if (from < nodes.length) packs.push(encodePack(nodes.slice(from)))
  return packs
}

/** Finds runs of small chunks that are worth a merge. */
function createGroups (): { readonly bytes: number, add (chunk: Chunk): void, end (): Chunk[][] } {
  const groups: Chunk[][] = []
  let group: Chunk[] = []
  let size = 0
  let bytes = 0

  function finish (): void {
    if (group.length >= LEAST_MERGED) {
      groups.push(group)
      bytes += size
    }
    group = []
    size = 0
  }

  return {
    get bytes () { return bytes },
    add (chunk) {
      if (chunk.bytes >= SMALL_BYTES || size + chunk.bytes > CHUNK_BYTES) finish()
      if (chunk.bytes >= SMALL_BYTES) return
      group.push(chunk)
      size += chunk.bytes
    },
    end () {
      finish()
      return groups
    }
  }
}

/** One pack of all their nodes, each once, or null when one of them cannot be read: then all stay as they are. */
function mergePacks (packs: readonly Uint8Array[]): Uint8Array | null {
  const kept: NodeView[] = []
  const table = createIdTable({ chunk: (i) => kept[i].bytes, offset: (i) => kept[i].start })
  try {
    for (const node of packs.flatMap(scanPack)) {
      if (findId(table, node.bytes, node.start) >= 0) continue
      kept.push(node)
      insertId(table, kept.length - 1)
    }
  } catch {
    return null
  }
  return encodePack(kept.map(bytesOf))
}
