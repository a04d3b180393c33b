import type { Blake3 } from '../protocol/blake3.js'
import { equalBytes, sortedIds } from '../protocol/bytes.js'
import type { Signer, Verifier } from '../protocol/crypto.js'
import { ID_LENGTH, type SignedNode, type Transaction, count, encodeTransaction, nodeId } from '../protocol/node.js'
import type { Op } from '../protocol/op.js'
import { cursor, skip, take, writeRaw, writeVarint, writer } from '../protocol/postcard.js'
import { NodalmergeError } from '../errors.js'
import { EXCLUDED, canonicalHash } from './resolve.js'
import { type Timeline, cutover, timelineHash } from './timeline.js'

const HASH = '\0snap:hash'
const FRONT = '\0snap:front'
const BASE = '\0snap:base'
const POLICY_HASH = '\0snap:policy:hash'
const POLICY_CUTOVER = '\0snap:policy:cutover'

/** What a snapshot node attests (spec/wire-format.md §15.2). It carries no state: only the hash and where it holds. */
export interface Snapshot {
  /** Canonical hash of the map without the keys that start with U+0000. */
  hash: Uint8Array
  frontier: Uint8Array[]
  /** Id of the snapshot an incremental one builds on. */
  base: Uint8Array | null
  policy: { hash: Uint8Array | null, cutover: number | null }
}

export interface SnapshotInput {
  entries: Iterable<[string, Uint8Array]>
  /** Heads of the graph, in any order. */
  frontier: readonly Uint8Array[]
  /** The clock of the graph; the snapshot takes the next value. */
  clock: number
  base?: Uint8Array
  timeline?: Timeline
}

/** Creates and signs a snapshot node. Throws RangeError for a value the format cannot carry. */
export function createSnapshot (input: SnapshotInput, signer: Signer, blake3: Blake3): SignedNode {
  const ops = [
    set(HASH, canonicalHash(input.entries, blake3, EXCLUDED.snapshot)),
    set(FRONT, encodeFrontier(input.frontier))
  ]
  if (input.base !== undefined) ops.push(set(BASE, input.base))
  const timeline = input.timeline ?? []
  const last = cutover(timeline)
  if (last !== null) ops.push(set(POLICY_HASH, timelineHash(timeline, blake3)), set(POLICY_CUTOVER, eightBytes(last)))
  const tx: Transaction = { author: signer.publicKey, lamport: input.clock + 1, wallMs: 0, ops, parents: [] }
  const id = nodeId(encodeTransaction(tx), blake3)
  return { ...tx, id, signature: signer.sign(id) }
}

function set (key: string, value: Uint8Array): Op {
  return { type: 'map-set', key, value }
}

function encodeFrontier (heads: readonly Uint8Array[]): Uint8Array {
  const sorted = sortedIds(heads)
  const w = writer(8 + ID_LENGTH * sorted.length)
  writeVarint(w, sorted.length)
  for (const head of sorted) writeRaw(w, head)
  return take(w)
}

function decodeFrontier (bytes: Uint8Array): Uint8Array[] {
  const c = cursor(bytes)
  return Array.from({ length: count(c, ID_LENGTH) }, () => {
    const start = skip(c, ID_LENGTH)
    return bytes.slice(start, c.pos)
  })
}

function eightBytes (n: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(n), true)
  return bytes
}

/** Whether operations make a node a snapshot: one of them sets the snapshot hash. */
export function isSnapshot (ops: readonly Op[]): boolean {
  return ops.some((op) => op.type === 'map-set' && op.key === HASH)
}

/** Whether a node holds nothing but a snapshot; only then may a trusted author's write skip the policy (§12.2). */
export function isPureSnapshot (ops: readonly Op[]): boolean {
  return isSnapshot(ops) && ops.every((op) => op.type === 'map-set' && op.key.startsWith('\0snap:'))
}

/**
 * Reads what a snapshot node attests; of a repeated key the last value counts. Throws `reject.hash_mismatch` when the hash or the
 * frontier is missing or malformed. The signature is for `verifySnapshot`.
 */
export function readSnapshot (ops: readonly Op[]): Snapshot {
  const value = (key: string, length?: number): Uint8Array | null => {
    const op = ops.findLast((candidate) => candidate.type === 'map-set' && candidate.key === key)
    return op?.type === 'map-set' && (length === undefined || op.value.length === length) ? op.value : null
  }
  const hash = value(HASH, 32)
  const front = value(FRONT)
  const last = value(POLICY_CUTOVER, 8)
  return {
    hash: hash ?? mismatch(),
    frontier: frontierOf(front),
    base: value(BASE, ID_LENGTH),
    policy: { hash: value(POLICY_HASH, 32), cutover: last && Number(new DataView(last.buffer, last.byteOffset).getBigUint64(0, true)) }
  }
}

function frontierOf (bytes: Uint8Array | null): Uint8Array[] {
  try {
    return decodeFrontier(bytes ?? mismatch())
  } catch (cause) {
    throw new NodalmergeError('reject.hash_mismatch', 'the snapshot has no readable frontier', { cause })
  }
}

function mismatch (): never {
  throw new NodalmergeError('reject.hash_mismatch', 'the snapshot lacks its hash or its frontier')
}

/** Reads a snapshot node and checks its signature. Throws `reject.hash_mismatch` or `reject.invalid_signature`. */
export async function verifySnapshot (node: SignedNode, verifier: Verifier): Promise<Snapshot> {
  const [good] = await verifier.verify([{ author: node.author, id: node.id, signature: node.signature }])
  if (!good) throw new NodalmergeError('reject.invalid_signature')
  return readSnapshot(node.ops)
}

/** Whether a snapshot was taken under a timeline: it names no policy at all, or exactly this timeline's hash and cut-over (§15.2). */
export function isCompatible (snapshot: Snapshot, timeline: Timeline, blake3: Blake3): boolean {
  const { hash, cutover: last } = snapshot.policy
  if (hash === null && last === null) return true
  return hash !== null && equalBytes(hash, timelineHash(timeline, blake3)) && last === cutover(timeline)
}
