import { NodalmergeError } from '../errors.js'
import type { Blake3 } from '../protocol/blake3.js'
import { compareBytes } from '../protocol/bytes.js'
import { toHex } from '../protocol/hex.js'
import { ID_LENGTH, type NodeView, SIGNATURE_LENGTH, clockAfter, idOf, parentOf, scanNode } from '../protocol/node.js'
import { cursor, readVarint } from '../protocol/postcard.js'
import { type Chunks, appendBytes, createChunks } from './chunks.js'
import { merkleRoot } from './frontier.js'
import { type IdTable, createIdTable, findId, idsWithPrefix, insertId } from './id-table.js'
import { FIELD, type Records, addRecord, createRecords, getField, setField } from './records.js'

/**
 * The nodes of a room, packed: their bytes in append-only chunks, twenty bytes of record and a slot of the id table per node, no
 * object per node (design §4). A node is named by its index, the position at which it came; since parents come first, ascending
 * indices are a topological order. Everything known of an index is immutable once it is there, except that `firstChild` is set once.
 * An index must be one that `append` or `indexOf` has answered.
 */
export interface Dag {
  /** Nodes held. */
  readonly size: number
  /** Bytes of all nodes. */
  readonly byteLength: number
  /** The Lamport clock, counting the values that range inserts take (spec/wire-format.md §5.1). */
  readonly clock: number
  /** The index of the id `bytes[at .. at+32)`, or -1. */
  indexOf (bytes: Uint8Array, at?: number): number
  /**
   * Copies a node in and returns its index. Throws `reject.missing_parent` when a parent is not held and RangeError when the id
   * already is; nothing is changed then. Hash, signature and clocks are the caller's to check.
   */
  append (node: NodeView): number
  /** The whole encoding: id, transaction, signature. A view, valid for ever. */
  bytes (index: number): Uint8Array
  /** Bytes of the whole encoding. */
  length (index: number): number
  /** A view of the id. */
  id (index: number): Uint8Array
  /** The node scanned anew. */
  view (index: number): NodeView
  lamport (index: number): number
  /** Indices of the parents as the node lists them, each once. */
  parents (index: number): number[]
  /** Index of the parent listed first, -1 for a root. */
  firstParent (index: number): number
  /** Index of the child that came first, -1 while there is none. */
  firstChild (index: number): number
  /** Number of leaves of the nodes `[0 .. index]`. */
  width (index: number): number
  /** The bytes of the nodes `[from .. to)` as the fewest contiguous views, in order. */
  slices (from: number, to: number): Uint8Array[]
  /** Ids of the leaves, ascending by bytes. */
  heads (): Uint8Array[]
  /** Indices of the leaves, in the order of `heads`. */
  headIndices (): readonly number[]
  /** The Merkle root over the leaves (§6). */
  root (): Uint8Array
  /** Indices of all ids that start with the first `nibbles` hex digits of `prefix`, in no particular order. */
  withPrefix (prefix: Uint8Array, nibbles: number): number[]
}

interface Derived { indices: number[], heads: Uint8Array[], root: Uint8Array }

interface Packed {
  readonly chunks: Chunks
  readonly records: Records
  readonly table: IdTable
  /** Indices of the nodes without a child. */
  readonly leaves: Set<number>
  /** What was derived from `leaves` since they last changed. */
  cache: Derived | null
  size: number
  clock: number
}

const MANY_PARENTS = 255
/** Author and what comes before it: where the lamport value starts (§2.2, §3.3). */
const LAMPORT_AT = ID_LENGTH + 32

/** An empty DAG. `blake3` hashes the root. */
export function createDag (blake3: Blake3): Dag {
  const chunks = createChunks()
  const records = createRecords()
  const chunk = (index: number): Uint8Array => chunks.buffers[getField(records, index, FIELD.place) >>> 8]
  const offset = (index: number): number => getField(records, index, FIELD.offset)
  const p: Packed = { chunks, records, table: createIdTable({ chunk, offset }), leaves: new Set(), cache: null, size: 0, clock: 0 }
  const frontier = (): Derived => {
    p.cache ??= derive(p, blake3)
    return p.cache
  }
  return {
    get size () { return p.size },
    get byteLength () { return chunks.byteLength },
    get clock () { return p.clock },
    indexOf: (bytes, at = 0) => findId(p.table, bytes, at),
    append: (node) => append(p, node),
    bytes: (index) => chunk(index).subarray(offset(index), endOf(p, index)),
    length: (index) => endOf(p, index) - offset(index),
    id: (index) => chunk(index).subarray(offset(index), offset(index) + ID_LENGTH),
    view: (index) => scanNode(cursor(chunk(index), offset(index), endOf(p, index))),
    lamport: (index) => readVarint(cursor(chunk(index), offset(index) + LAMPORT_AT)),
    parents: (index) => parents(p, index),
    firstParent: (index) => getField(records, index, FIELD.firstParent) - 1,
    firstChild: (index) => getField(records, index, FIELD.firstChild) - 1,
    width: (index) => getField(records, index, FIELD.width),
    slices: (from, to) => slices(p, from, to),
    heads: () => frontier().heads,
    headIndices: () => frontier().indices,
    root: () => frontier().root,
    withPrefix: (prefix, nibbles) => idsWithPrefix(p.table, prefix, nibbles)
  }
}

function append (p: Packed, node: NodeView): number {
  if (findId(p.table, node.bytes, node.start) >= 0) throw new RangeError(`duplicate node: ${toHex(idOf(node))}`)
  const found: number[] = []
  for (let i = 0; i < node.parentCount; i++) found.push(requireParent(p, node, i))
  const index = p.size
  addRecord(p.records, index)
  const offset = appendBytes(p.chunks, node.bytes, node.start, node.end)
  const chunk = p.chunks.buffers.length - 1
  setField(p.records, index, FIELD.place, chunk << 8 | Math.min(MANY_PARENTS, found.length))
  setField(p.records, index, FIELD.offset, offset)
  if (found.length > 0) setField(p.records, index, FIELD.firstParent, found[0] + 1)
  for (const parent of found) {
    if (getField(p.records, parent, FIELD.firstChild) !== 0) continue
    setField(p.records, parent, FIELD.firstChild, index + 1)
    p.leaves.delete(parent)
  }
  p.leaves.add(index)
  setField(p.records, index, FIELD.width, p.leaves.size)
  insertId(p.table, index)
  p.cache = null
  p.clock = clockAfter(p.clock, node.lamport, node.extra)
  return p.size++
}

function requireParent (p: Packed, node: NodeView, i: number): number {
  const parent = findId(p.table, node.bytes, node.parents + ID_LENGTH * i)
  if (parent < 0) throw new NodalmergeError('reject.missing_parent', `missing parent node: ${toHex(parentOf(node, i))}`)
  return parent
}

/** A node ends where the next one of its chunk starts, or where the chunk's bytes end. */
function endOf (p: Packed, index: number): number {
  const chunk = getField(p.records, index, FIELD.place) >>> 8
  const next = index + 1
  if (next < p.size && getField(p.records, next, FIELD.place) >>> 8 === chunk) return getField(p.records, next, FIELD.offset)
  return p.chunks.used[chunk]
}

/** The parent ids are the last thing before the signature, so the number of parents says where they start. */
function parents (p: Packed, index: number): number[] {
  const place = getField(p.records, index, FIELD.place)
  const few = place & MANY_PARENTS
  if (few === 0) return []
  if (few === 1) return [getField(p.records, index, FIELD.firstParent) - 1]
  const bytes = p.chunks.buffers[place >>> 8]
  const end = endOf(p, index)
  const count = few < MANY_PARENTS ? few : scanNode(cursor(bytes, getField(p.records, index, FIELD.offset), end)).parentCount
  const first = end - SIGNATURE_LENGTH - ID_LENGTH * count
  return [...new Set(Array.from({ length: count }, (_, i) => findId(p.table, bytes, first + ID_LENGTH * i)))]
}

function slices (p: Packed, from: number, to: number): Uint8Array[] {
  const views: Uint8Array[] = []
  if (from >= to) return views
  const last = getField(p.records, to - 1, FIELD.place) >>> 8
  let start = getField(p.records, from, FIELD.offset)
  for (let chunk = getField(p.records, from, FIELD.place) >>> 8; chunk < last; chunk++) {
    views.push(p.chunks.buffers[chunk].subarray(start, p.chunks.used[chunk]))
    start = 0
  }
  views.push(p.chunks.buffers[last].subarray(start, endOf(p, to - 1)))
  return views
}

function derive (p: Packed, blake3: Blake3): Derived {
  const leaves = Array.from(p.leaves, (index) => {
    const at = getField(p.records, index, FIELD.offset)
    return { index, id: p.chunks.buffers[getField(p.records, index, FIELD.place) >>> 8].subarray(at, at + ID_LENGTH) }
  }).sort((a, b) => compareBytes(a.id, b.id))
  const heads = leaves.map((leaf) => leaf.id)
  return { indices: leaves.map((leaf) => leaf.index), heads, root: merkleRoot(heads, blake3) }
}
