import { type SignatureCheck, createSignatureCheck, createSigner, generateSeed } from '../crypto/ed25519.js'
import type { Code } from '../errors.js'
import { toBase64 } from '../protocol/base64.js'
import type { Blake3 } from '../protocol/blake3.js'
import { compareBytes, equalBytes } from '../protocol/bytes.js'
import type { Signer } from '../protocol/crypto.js'
import { toHex } from '../protocol/hex.js'
import {
  type NodeView, authorOf, bytesOf, encodeNode, encodeTransaction, extraOf, idOf, nodeId, scanNode, signatureOf, transactionOf
} from '../protocol/node.js'
import type { Op } from '../protocol/op.js'
import { encodePack, scanPack } from '../protocol/pack.js'
import { cursor } from '../protocol/postcard.js'
import { type Orphans, createOrphans } from './orphans.js'
import { type Replica, createReplica } from './replica.js'

/** A node may run ahead of the local clock by this much (spec/wire-format.md §5.2). */
export const LAMPORT_SLACK = 1_048_576

export interface PeerOptions {
  blake3: Blake3
  /** Ed25519 seed, 32 bytes; random when absent. */
  seed?: Uint8Array
  /** Nodes to start from, parents first: what a restarted peer finds on its disk. They are trusted. */
  nodes?: Iterable<Uint8Array>
  /** Whether received signatures are checked; true unless said otherwise. */
  verify?: boolean
  /** Unix milliseconds written into nodes; `Date.now` unless given. */
  now?: () => number
  /** How many nodes may wait for a parent; 100,000 unless given. */
  maxOrphans?: number
}

/** What became of a pack. `refused` names the nodes that failed a check; orphans are kept and tried again. */
export interface Received {
  accepted: Uint8Array[]
  duplicates: number
  refused: { id: string, code: Code }[]
}

/** A replica in memory: the nodes of one room, as an honest client holds them. Ids are lower-case hexadecimal. */
export interface Peer {
  readonly publicKey: Uint8Array
  /** `publicKey` in hexadecimal, the `pubkey` of `hello`. */
  readonly key: string
  /** The Lamport clock (spec/wire-format.md §5.1, counting what range inserts take). */
  readonly clock: number
  readonly size: number
  /** Nodes that wait for a parent. */
  readonly orphans: number
  /** The heads, ascending. */
  readonly frontier: string[]
  /** BLAKE3 over the heads (spec/wire-format.md §6). */
  readonly root: string
  /** Signs the operations as one node on top of the heads and keeps it. Returns its encoding. */
  write (ops: Op[]): Uint8Array
  /** Takes in a pack in any order. Throws `reject.protocol_invalid_message` when it cannot be read. */
  receive (pack: Uint8Array): Received
  has (id: string): boolean
  node (id: string): Uint8Array | undefined
  ids (): IterableIterator<string>
  /** Every node, parents first. */
  nodes (): IterableIterator<Uint8Array>
  /** The nodes whose ids are not listed, parents first: a plain difference of sets. */
  missingFrom (ids: Iterable<string>): Uint8Array[]
  /** The nodes that are neither listed nor an ancestor of a listed one, parents first: what someone with these heads lacks. */
  beyond (heads: Iterable<string>): Uint8Array[]
  /** A pack of encoded nodes. */
  pack (nodes: readonly Uint8Array[]): Uint8Array
}

/** Creates a peer without nodes, or with those of `nodes`. Throws RangeError for a seed that is not 32 bytes. */
export function createPeer (options: PeerOptions): Peer {
  const { blake3, now = Date.now } = options
  const signer = createSigner(options.seed ?? generateSeed())
  const replica = createReplica(options.nodes)
  const orphans = createOrphans(options.maxOrphans ?? 100_000)
  const valid = options.verify === false ? () => true : createSignatureCheck()

  return {
    publicKey: signer.publicKey,
    key: toHex(signer.publicKey),
    get clock () { return replica.clock },
    get size () { return replica.nodes.size },
    get orphans () { return orphans.size },
    get frontier () { return [...replica.heads.keys()].sort() },
    get root () { return replica.root(blake3) },
    write: (ops) => writeNode(replica, signer, blake3, now(), ops),
    receive (pack) {
      const result: Received = { accepted: [], duplicates: 0, refused: [] }
      for (const node of scanPack(pack)) receiveNode(replica, orphans, (view) => refusal(view, replica.clock, blake3, valid), node, result)
      return result
    },
    has: (id) => replica.nodes.has(id),
    node: (id) => replica.nodes.get(id),
    ids: () => replica.nodes.keys(),
    nodes: () => replica.nodes.values(),
    missingFrom (ids) {
      const listed = new Set(ids)
      return [...replica.nodes].flatMap(([id, bytes]) => listed.has(id) ? [] : [bytes])
    },
    beyond: (heads) => replica.beyond(heads),
    pack: encodePack
  }
}

/** Signs operations as one node on top of the replica's heads and adds it (spec/wire-format.md §5.1). */
export function writeNode (replica: Replica, signer: Signer, blake3: Blake3, wallMs: number, ops: Op[]): Uint8Array {
  const lamport = replica.clock + 1
  const parents = [...replica.heads.values()].sort(compareBytes)
  const transaction = encodeTransaction({ author: signer.publicKey, lamport, wallMs, ops, parents })
  const id = nodeId(transaction, blake3)
  const bytes = encodeNode(id, transaction, signer.sign(id))
  replica.add(scanNode(cursor(bytes)))
  replica.clock = lamport + extraOf(ops)
  return bytes
}

/** Why a node whose parents are known cannot be taken in, or null (spec/wire-format.md §5.4). */
export function refusal (node: NodeView, clock: number, blake3: Blake3, valid: SignatureCheck): Code | null {
  if (!equalBytes(nodeId(transactionOf(node), blake3), idOf(node))) return 'reject.hash_mismatch'
  if (node.lamport > clock + LAMPORT_SLACK) return 'reject.lamport_ceiling'
  return valid(authorOf(node), idOf(node), signatureOf(node)) ? null : 'reject.invalid_signature'
}

/** Takes in a node and whatever waited for it. */
function receiveNode (
  replica: Replica, orphans: Orphans, check: (node: NodeView) => Code | null, first: NodeView, result: Received
): void {
  const stack = [first]
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    const id = toHex(idOf(node))
    const parent = replica.missingParent(node)
    const held = replica.nodes.has(id) ? 'known' : parent === null ? null : orphans.hold(parent, node)
    const code = held === null ? check(node) : held === 'full' ? 'reject.missing_parent' : null
    if (code !== null) result.refused.push({ id, code })
    else if (held === 'known') result.duplicates++
    else if (held === null) {
      replica.add(node)
      result.accepted.push(bytesOf(node))
      stack.push(...orphans.release(id).reverse())
    }
  }
}

/**
 * Splits nodes into base64 packs of at most `maxLength` characters, in order; a node larger than that gets a pack of its own
 * (spec/wire-format.md §4, "Chunked delta").
 */
export function chunkNodes (nodes: readonly Uint8Array[], maxLength: number): { text: string, nodes: Uint8Array[] }[] {
  const budget = Math.floor(Math.max(maxLength, 1024) / 4) * 3
  const chunks: Uint8Array[][] = []
  let used = budget
  for (const node of nodes) {
    const size = node.length + 1
    if (used + size > budget) { chunks.push([]); used = 0 }
    chunks[chunks.length - 1].push(node)
    used += size
  }
  return chunks.map((chunk) => ({ text: toBase64(encodePack(chunk)), nodes: chunk }))
}
