import { ID_LENGTH } from '../protocol/node.js'

/**
 * Node ids to indices: open addressing with linear probing, keyed by the id's own leading bits. Ids are hashes, so they need no
 * hashing, and because the home slot keeps their order, all ids that share a prefix lie in one stretch of slots. The ids themselves
 * stay where the nodes are.
 *
 * A small room has one table. A larger one has a table per leading byte: each of them grows at its own moment, so that no single
 * append pays for moving everything.
 */
export interface IdTable {
  /** One table, or 256: one per leading byte. */
  shards: Shard[]
  size: number
  readonly ids: IdSource
}

/**
 * A slot holds an index plus one, or 0. Its tag is the 16 bits of the id that follow the shard's byte: it gives the home slot, so that
 * growing reads no id, and tells nearly every other id apart without a look at where that is kept. The length is a power of two.
 */
interface Shard { slots: Uint32Array, tags: Uint16Array, count: number }

/** Where the id of a node lies: its first 32 bytes at `offset` of `chunk`. */
export interface IdSource {
  chunk (index: number): Uint8Array
  offset (index: number): number
}

const FIRST_SLOTS = 16
/** At this size moving all ids into 256 shards still takes well under a millisecond. */
const SPREAD_AT = 4096

const createShard = (length: number): Shard => ({ slots: new Uint32Array(length), tags: new Uint16Array(length), count: 0 })

export function createIdTable (ids: IdSource): IdTable {
  return { shards: [], size: 0, ids }
}

/** The index of the id `bytes[at .. at+32)`, or -1. */
export function findId (t: IdTable, bytes: Uint8Array, at: number): number {
  if (t.size === 0 || at + ID_LENGTH > bytes.length) return -1
  const { slots, tags } = shardOf(t, bytes, at)
  const mask = slots.length - 1
  const tag = tagOf(t, bytes, at)
  for (let slot = homeOf(tag, slots.length); slots[slot] !== 0; slot = (slot + 1) & mask) {
    if (tags[slot] !== tag) continue
    const index = slots[slot] - 1
    if (sharesPrefix(t.ids.chunk(index), t.ids.offset(index), bytes, at, ID_LENGTH)) return index
  }
  return -1
}

/** Enters the id of the node `index`, which must not be there yet. */
export function insertId (t: IdTable, index: number): void {
  if (t.size === 0) t.shards = [createShard(FIRST_SLOTS)]
  if (t.size === SPREAD_AT) spread(t)
  const chunk = t.ids.chunk(index)
  const offset = t.ids.offset(index)
  enter(shardOf(t, chunk, offset), tagOf(t, chunk, offset), index + 1)
  t.size++
}

/** The indices of all ids that start with the first `nibbles` hex digits of `prefix`, in no particular order. */
export function idsWithPrefix (t: IdTable, prefix: Uint8Array, nibbles: number): number[] {
  const found: number[] = []
  const whole = t.shards.length <= 1 || nibbles === 0
  const first = whole ? 0 : nibbles === 1 ? prefix[0] & 0xf0 : prefix[0]
  const last = whole ? t.shards.length - 1 : nibbles === 1 ? first | 0x0f : first
  for (let shard = first; shard <= last; shard++) collect(t, t.shards[shard], prefix, nibbles, found)
  return found
}

/**
 * Walks the stretch of slots that can hold the prefix: from the home slot of its least id to that of its greatest, and on to the
 * next empty slot, because probing moves ids up. Once round at most.
 */
function collect (t: IdTable, { slots, tags }: Shard, prefix: Uint8Array, nibbles: number, found: number[]): void {
  const skip = skipped(t)
  const inner = Math.min(4, Math.max(0, nibbles - 2 * skip))
  let least = 0
  for (let n = 0; n < inner; n++) least |= (prefix[skip + (n >> 1)] >> ((n & 1) === 0 ? 4 : 0) & 15) << 12 - 4 * n
  const greatest = least | 0xffff >> 4 * inner
  const start = homeOf(least, slots.length)
  const certain = homeOf(greatest, slots.length) - start
  for (let step = 0; step < slots.length; step++) {
    const slot = (start + step) & (slots.length - 1)
    if (slots[slot] === 0) {
      if (step > certain) return
    } else if (tags[slot] >= least && tags[slot] <= greatest && startsWith(t, slots[slot] - 1, prefix, nibbles)) {
      found.push(slots[slot] - 1)
    }
  }
}

function startsWith (t: IdTable, index: number, prefix: Uint8Array, nibbles: number): boolean {
  const chunk = t.ids.chunk(index)
  const offset = t.ids.offset(index)
  const whole = nibbles >> 1
  if (!sharesPrefix(chunk, offset, prefix, 0, whole)) return false
  return (nibbles & 1) === 0 || chunk[offset + whole] >> 4 === prefix[whole] >> 4
}

function sharesPrefix (a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (a[aAt + i] !== b[bAt + i]) return false
  return true
}

/** Leading bytes that the choice of the shard has used up. */
function skipped (t: IdTable): number {
  return t.shards.length > 1 ? 1 : 0
}

function shardOf (t: IdTable, bytes: Uint8Array, at: number): Shard {
  return t.shards[t.shards.length > 1 ? bytes[at] : 0]
}

function tagOf (t: IdTable, bytes: Uint8Array, at: number): number {
  const i = at + skipped(t)
  return bytes[i] << 8 | bytes[i + 1]
}

/** Beyond 65,536 slots several of them share a tag; probing goes on to the next, and the order still holds. */
function homeOf (tag: number, length: number): number {
  return length <= 65536 ? tag * length >>> 16 : tag * (length >>> 16)
}

function enter (shard: Shard, tag: number, entry: number): void {
  if ((shard.count + 1) * 4 > shard.slots.length * 3) double(shard)
  const { slots, tags } = shard
  let slot = homeOf(tag, slots.length)
  while (slots[slot] !== 0) slot = (slot + 1) & (slots.length - 1)
  slots[slot] = entry
  tags[slot] = tag
  shard.count++
}

function double (shard: Shard): void {
  const { slots, tags } = shard
  Object.assign(shard, createShard(slots.length * 2))
  for (let slot = 0; slot < slots.length; slot++) if (slots[slot] !== 0) enter(shard, tags[slot], slots[slot])
}

function spread (t: IdTable): void {
  const [{ slots }] = t.shards
  t.shards = Array.from({ length: 256 }, () => createShard(FIRST_SLOTS * 4))
  for (const entry of slots) {
    if (entry === 0) continue
    const chunk = t.ids.chunk(entry - 1)
    const offset = t.ids.offset(entry - 1)
    enter(shardOf(t, chunk, offset), tagOf(t, chunk, offset), entry)
  }
}
