import { createSignatureCheck, createSigner } from '../../lib/crypto/ed25519.js'
import { toBase64 } from '../../lib/protocol/base64.js'
import type { Blake3 } from '../../lib/protocol/blake3.js'
import { toHex } from '../../lib/protocol/hex.js'
import { type NodeView, eachOp, idOf, scanNode, signatureOf } from '../../lib/protocol/node.js'
import type { Op } from '../../lib/protocol/op.js'
import { encodePack, scanPack } from '../../lib/protocol/pack.js'
import { cursor } from '../../lib/protocol/postcard.js'
import { chunkNodes, refusal, writeNode } from '../../lib/testing/peer.js'
import { createReplica } from '../../lib/testing/replica.js'
import { filter32 } from './ibf32.js'
import { type Findings, type MstNode, createMst, descend } from './mst.js'

/** The bridge's `SyncStore` as both original clients use it (spec/client.md §4), defects included. */
export interface SyncStore {
  readonly pubkey: string
  ids (): string[]
  has (id: string): boolean
  readonly size: number
  /** Characters of base64 that all nodes together take. */
  weight (): number
  frontier (): string[]
  root (): string
  mstRoot (): string
  ibf (): string
  mstDescend (response: readonly MstNode[]): Findings
  /** Signs one node per call; no coalescing. */
  write (ops: Op[]): string
  /**
   * Every own node that is not listed, as one pack. The export walks a hash map, so the order has nothing to do with ancestry;
   * ascending ids have that property and are the same on every run.
   */
  exportMissingFrom (known: Iterable<string>): string
  /** Parents first, at most `max` base64 characters a pack. */
  exportChunked (known: Iterable<string>, max: number): string[]
  /**
   * The import loop (§4): passes until nothing moves; what still lacks a parent is dropped without a word; any other failure throws
   * and abandons the rest, with what was applied staying applied.
   */
  importPack (text: string): void
  setBlob (bytes: Uint8Array): string
  storeBlob (hash: string, bytes: Uint8Array): void
  blob (hash: string): Uint8Array | undefined
  localBlobs (): { hash: string, data: string }[]
  /** Hashes of every SetBlob ever applied whose bytes are absent. */
  missingBlobs (): string[]
  /** How many nodes import has dropped for want of a parent. */
  readonly dropped: number
}

/** Strict base64: padded, standard alphabet, no white space (§4, rule 1). */
function strictBase64 (text: string): Uint8Array {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw new Error('bad base64')
  return new Uint8Array(Buffer.from(text, 'base64'))
}

const zeroSignature = (node: NodeView): boolean => signatureOf(node).every((byte) => byte === 0)

export function createSyncStore (blake3: Blake3, seed: Uint8Array): SyncStore {
  const signer = createSigner(seed)
  const verify = createSignatureCheck()
  const replica = createReplica()
  const blobs = new Map<string, Uint8Array>()
  const referenced = new Set<string>()
  let dropped = 0

  const note = (node: NodeView): void => {
    if (node.blobs) eachOp(node, (shape) => { if (shape.hash >= 0) referenced.add(toHex(node.bytes.subarray(shape.hash, shape.hash + 32))) })
  }
  function check (node: NodeView): void {
    const code = refusal(node, replica.clock, blake3, (author, id, signature) => zeroSignature(node) || verify(author, id, signature))
    if (code !== null) throw new Error(`import: ${code} ${toHex(idOf(node))}`)
  }
  /** One pass; returns the nodes whose parents are still missing. Every check runs once, at the first try. */
  function pass (pending: NodeView[], first: boolean): NodeView[] {
    return pending.filter((node) => {
      if (replica.nodes.has(toHex(idOf(node)))) return false
      if (first) check(node)
      if (replica.missingParent(node) !== null) return true
      replica.add(node)
      note(node)
      return false
    })
  }
  const missing = (known: Iterable<string>): [string, Uint8Array][] => {
    const listed = new Set(known)
    return [...replica.nodes].filter(([id]) => !listed.has(id))
  }
  const mst = (): ReturnType<typeof createMst> => createMst(blake3, replica.nodes.keys())

  return {
    pubkey: toHex(signer.publicKey),
    ids: () => [...replica.nodes.keys()],
    has: (id) => replica.nodes.has(id),
    get size () { return replica.nodes.size },
    weight: () => [...replica.nodes.values()].reduce((sum, bytes) => sum + Math.ceil(bytes.length / 3) * 4, 0),
    frontier: () => [...replica.heads.keys()].sort(),
    root: () => replica.root(blake3),
    mstRoot: () => mst().root(),
    ibf: () => filter32(replica.nodes.keys(), blake3),
    mstDescend: (response) => descend(mst(), response),
    write (ops) {
      const bytes = writeNode(replica, signer, blake3, Date.now(), ops)
      note(scanNode(cursor(bytes)))
      return toHex(bytes.subarray(0, 32))
    },
    exportMissingFrom: (known) => toBase64(encodePack(missing(known).sort(([a], [b]) => a < b ? -1 : 1).map(([, bytes]) => bytes))),
    exportChunked: (known, max) => chunkNodes(missing(known).map(([, bytes]) => bytes), max).map((chunk) => chunk.text),
    importPack (text) {
      let pending = scanPack(strictBase64(text))
      for (let before = Infinity, first = true; pending.length > 0 && pending.length < before; first = false) {
        before = pending.length
        pending = pass(pending, first)
      }
      dropped += pending.length
    },
    setBlob (bytes) {
      const hash = toHex(blake3.hash(bytes))
      blobs.set(hash, bytes)
      return hash
    },
    storeBlob (hash, bytes) {
      if (toHex(blake3.hash(bytes)) !== hash) throw new Error('blob hash mismatch')
      blobs.set(hash, bytes)
    },
    blob: (hash) => blobs.get(hash),
    localBlobs: () => [...blobs].map(([hash, bytes]) => ({ hash, data: toBase64(bytes) })),
    missingBlobs: () => [...referenced].filter((hash) => !blobs.has(hash)),
    get dropped () { return dropped }
  }
}
