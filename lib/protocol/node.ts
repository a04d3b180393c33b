import type { Blake3 } from './blake3.js'
import { type Op, type OpShape, extraLamports, fixed, readOp, skipOp, writeOp } from './op.js'
import { type Cursor, type Writer, cursor, malformed, readVarint, skip, take, writeRaw, writeVarint, writer } from './postcard.js'

/** The hashed object (spec/wire-format.md §2.2): an atomic batch of operations with its clocks and its parents. */
export interface Transaction {
  /** Ed25519 public key of the writer, 32 bytes. */
  author: Uint8Array
  lamport: number
  /** Unix milliseconds; 0 means that the writer has no clock. */
  wallMs: number
  ops: Op[]
  parents: Uint8Array[]
}

export interface SignedNode extends Transaction { id: Uint8Array, signature: Uint8Array }

export const ID_LENGTH = 32
export const SIGNATURE_LENGTH = 64
/** id + author + lamport + wall + two counts + signature (§3.3). */
export const MIN_NODE_LENGTH = 132

/**
 * One node where it lies: offsets into `bytes`, which hold the canonical encoding `bytes[start .. end)` of id, transaction and
 * signature. Made by `scanNode`; lives while a pack is being accepted, never longer.
 */
export interface NodeView {
  bytes: Uint8Array
  start: number
  end: number
  lamport: number
  wallMs: number
  opCount: number
  /** Where the first operation starts. */
  ops: number
  parentCount: number
  /** Where the first parent id starts; they follow one another. */
  parents: number
  /** Lamport values taken beyond `lamport` by range inserts (§5.1). */
  extra: number
  /** Whether an operation is a SetBlob. */
  blobs: boolean
  /** Whether an operation's key starts with U+0000 (§7.1). */
  sentinel: boolean
}

export const idOf = (n: NodeView): Uint8Array => n.bytes.subarray(n.start, n.start + ID_LENGTH)
export const authorOf = (n: NodeView): Uint8Array => n.bytes.subarray(n.start + 32, n.start + 64)
export const transactionOf = (n: NodeView): Uint8Array => n.bytes.subarray(n.start + 32, n.end - 64)
export const signatureOf = (n: NodeView): Uint8Array => n.bytes.subarray(n.end - 64, n.end)
export const bytesOf = (n: NodeView): Uint8Array => n.bytes.subarray(n.start, n.end)
export const parentOf = (n: NodeView, i: number): Uint8Array => n.bytes.subarray(n.parents + 32 * i, n.parents + 32 * i + 32)

const scratch: OpShape = { key: 0, keyEnd: 0, extra: 0, kind: 0, hash: -1 }

/**
 * Reads one node at the cursor and checks its form completely, without building its operations. When the input was spelled in a
 * non-canonical way the view lies in a canonical copy, so that what is hashed, kept and relayed is canonical (§1.3).
 */
export function scanNode (c: Cursor): NodeView {
  c.loose = false
  const start = skip(c, ID_LENGTH)
  skip(c, 32)
  const lamport = readVarint(c)
  const wallMs = readVarint(c)
  const opCount = count(c, 3)
  const ops = c.pos
  let extra = 0
  let blobs = false
  let sentinel = false
  for (let i = 0; i < opCount; i++) {
    skipOp(c, scratch)
    extra += scratch.extra
    if (scratch.hash >= 0) blobs = true
    if (scratch.key < scratch.keyEnd && c.bytes[scratch.key] === 0) sentinel = true
  }
  const parentCount = count(c, ID_LENGTH)
  const parents = skip(c, parentCount * ID_LENGTH)
  skip(c, SIGNATURE_LENGTH)
  if (c.loose && c.copy === null) return scanCopy(c, start)
  return { bytes: c.bytes, start, end: c.pos, lamport, wallMs, opCount, ops, parentCount, parents, extra, blobs, sentinel }
}

/** Reads a count and bounds it by what is left, given the least size of an element. */
export function count (c: Cursor, least: number): number {
  const n = readVarint(c)
  if (n > (c.end - c.pos) / least) throw malformed('count exceeds input')
  return n
}

/** The same node in a canonical copy: read again with the respellings written down, then once more where it now lies. */
function scanCopy (c: Cursor, start: number): NodeView {
  const copy = { to: writer(c.pos - start), from: start }
  scanNode(cursor(c.bytes, start, c.pos, copy))
  writeRaw(copy.to, c.bytes.subarray(copy.from, c.pos))
  return scanNode(cursor(take(copy.to)))
}

/** Calls `visit` with the UTF-8 range of every operation's key; stops and returns false as soon as `visit` does. */
export function everyKey (n: NodeView, visit: (bytes: Uint8Array, start: number, end: number) => boolean): boolean {
  const c = cursor(n.bytes, n.ops, n.end)
  for (let i = 0; i < n.opCount; i++) {
    skipOp(c, scratch)
    if (!visit(n.bytes, scratch.key, scratch.keyEnd)) return false
  }
  return true
}

/** Every operation's shape, for callers that need more than the keys; `shape` is reused between calls of `visit`. */
export function eachOp (n: NodeView, visit: (shape: Readonly<OpShape>) => void): void {
  const c = cursor(n.bytes, n.ops, n.end)
  for (let i = 0; i < n.opCount; i++) {
    skipOp(c, scratch)
    visit(scratch)
  }
}

/** The operations of a node as objects. Byte fields are views; copy what outlives `n.bytes`. */
export function readOps (n: NodeView): Op[] {
  const c = cursor(n.bytes, n.ops, n.end)
  return Array.from({ length: n.opCount }, () => readOp(c))
}

/** A node as an object, for tools and tests; the hot paths stay on the view. */
export function readNode (n: NodeView): SignedNode {
  return {
    id: idOf(n),
    author: authorOf(n),
    lamport: n.lamport,
    wallMs: n.wallMs,
    ops: readOps(n),
    parents: Array.from({ length: n.parentCount }, (_, i) => parentOf(n, i)),
    signature: signatureOf(n)
  }
}

/** The canonical encoding of a transaction. Throws RangeError for a value the format cannot carry. */
export function encodeTransaction (tx: Transaction): Uint8Array {
  const w = writer(roomFor(tx))
  writeTransaction(w, tx)
  return take(w)
}

/** Enough for a transaction of short operations; a longer one makes the writer grow. */
function roomFor (tx: Transaction): number {
  return 128 + 40 * tx.ops.length + ID_LENGTH * tx.parents.length
}

function writeTransaction (w: Writer, tx: Transaction): void {
  writeRaw(w, fixed(tx.author, 32, 'an author'))
  writeVarint(w, tx.lamport)
  writeVarint(w, tx.wallMs)
  writeVarint(w, tx.ops.length)
  for (const op of tx.ops) writeOp(w, op)
  writeVarint(w, tx.parents.length)
  for (const parent of tx.parents) writeRaw(w, fixed(parent, ID_LENGTH, 'a parent id'))
}

/** Bytes that a node builder takes from the system at once: an allocation a node would cost more than encoding it. */
const SLAB = 65_536

/**
 * Builds nodes in one piece: the id, the transaction, and zeros where the signature belongs, which does not enter the id. Nodes built one
 * after the other share buffers of 64 KiB; keep a copy of one that is to outlive its neighbours. Throws RangeError for a value the
 * format cannot carry.
 */
export function createNodeBuilder (blake3: Blake3): (tx: Transaction) => Uint8Array {
  let w = writer(0)
  return (tx) => {
    const most = ID_LENGTH + roomFor(tx) + SIGNATURE_LENGTH
    if (w.pos + most > w.bytes.length) w = writer(Math.max(SLAB, most))
    const start = w.pos
    w.pos += ID_LENGTH
    writeTransaction(w, tx)
    const end = w.pos
    writeRaw(w, UNSIGNED)
    const bytes = w.bytes.subarray(start, w.pos)
    bytes.set(nodeId(bytes.subarray(ID_LENGTH, end - start), blake3))
    return bytes
  }
}

const UNSIGNED = new Uint8Array(SIGNATURE_LENGTH)

/** Id of an encoded transaction (§3.1). */
export function nodeId (transaction: Uint8Array, blake3: Blake3): Uint8Array {
  return blake3.hash(transaction)
}

/** Wire form of a node: id, transaction, signature (§3.3). */
export function encodeNode (id: Uint8Array, transaction: Uint8Array, signature: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(ID_LENGTH + transaction.length + SIGNATURE_LENGTH)
  bytes.set(fixed(id, ID_LENGTH, 'an id'))
  bytes.set(transaction, ID_LENGTH)
  bytes.set(fixed(signature, SIGNATURE_LENGTH, 'a signature'), ID_LENGTH + transaction.length)
  return bytes
}

/** The clock value after a replica has taken in this transaction (§5.1, with the recommended `extra`). */
export function clockAfter (clock: number, lamport: number, extra: number): number {
  return Math.max(clock, lamport + extra)
}

/** Sum of the lamport values the operations take beyond the first. */
export function extraOf (ops: readonly Op[]): number {
  return ops.reduce((sum, op) => sum + extraLamports(op), 0)
}
