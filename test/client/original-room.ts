import { createSignatureCheck } from '../../lib/crypto/ed25519.js'
import { type Dag, createDag } from '../../lib/dag/dag.js'
import { peelByCount } from '../../lib/dag/ibf-peel.js'
import { type Filters, createFilters, decodeFilter, feedFilters, subtract } from '../../lib/dag/ibf.js'
import { type Trie, createTrie } from '../../lib/dag/mst.js'
import { fromBase64, toBase64 } from '../../lib/protocol/base64.js'
import type { Blake3 } from '../../lib/protocol/blake3.js'
import { equalBytes } from '../../lib/protocol/bytes.js'
import { policyGlob, subscriptionGlob } from '../../lib/protocol/glob.js'
import { fromHexList, toHex } from '../../lib/protocol/hex.js'
import { type NodeView, authorOf, bytesOf, everyKey, idOf, nodeId, parentOf, signatureOf, transactionOf } from '../../lib/protocol/node.js'
import { encodePack, scanPack } from '../../lib/protocol/pack.js'
import type { WritePolicy } from '../../lib/protocol/policy.js'
import { utf8Decode } from '../../lib/protocol/postcard.js'

/** What became of a pack: the nodes to relay, in order, and the texts of the refusals. */
export interface Imported { accepted: Uint8Array[], refusals: string[] }

/** The catch-up and the ambiguous list of a welcome (spec/session-protocol.md §1.8). */
export interface Difference { catchUp: number[], missing: string[] }

/** A room as the original server keeps it. */
export interface OriginalRoom {
  readonly dag: Dag
  readonly trie: Trie
  policy: WritePolicy | null
  /** Public key that tokens have to be signed with; null while the room is open. */
  key: Uint8Array | null
  /** Ids of everything held, in hexadecimal. */
  ids (): string[]
  /** Takes in a pack (§2.1). Nothing waits for its parents: what is left over at the end is dropped. `now` is Unix milliseconds. */
  import (nodes: readonly NodeView[], now: number): Imported
  /** The decision table of §1.8, with `ibf` as received. */
  differ (negotiated: boolean, ibf: unknown, frontier: unknown): Difference
  /** Indices of what is not listed, and of what is. */
  without (ids: unknown): number[]
  only (ids: unknown): number[]
  /** A pack, in no particular order: here by id. */
  pack (indices: readonly number[]): string
  /** Which of the nodes a subscription lets through (§2.8). */
  passing (indices: readonly number[], patterns: readonly string[]): number[]
}

const CEILING = 1_048_576
const DAY = 86_400_000

export function createRoom (blake3: Blake3): OriginalRoom {
  const dag = createDag(blake3)
  const filters = createFilters(blake3)
  const valid = createSignatureCheck()
  let lamport = 0
  const everything = (): number[] => Array.from({ length: dag.size }, (_, i) => i)

  function refusal (node: NodeView, clock: number, now: number): string | null {
    const id = toHex(idOf(node))
    const actual = nodeId(transactionOf(node), blake3)
    if (!equalBytes(actual, idOf(node))) return `hash mismatch: expected ${id}, got ${toHex(actual)}`
    if (node.lamport > clock + CEILING) return `lamport ceiling exceeded on node ${id}: lamport=${node.lamport}, ceiling=${clock + CEILING}`
    if (node.wallMs > now + DAY) return `wall clock skew on node ${id}: wall_ms=${node.wallMs} exceeds now=${now} by more than 24h`
    if (!unsigned(node) && !valid(authorOf(node), idOf(node), signatureOf(node))) return `invalid ed25519 signature on node ${id}`
    return null
  }

  function take (node: NodeView): string | null {
    const key = room.policy === null ? null : forbidden(node, room.policy)
    if (key !== null) return `policy violation: author [${[...authorOf(node)].join(', ')}] not permitted to write key '${key}'`
    dag.append(node)
    lamport = Math.max(lamport, node.lamport)
    return null
  }

  /** One pass over what is left; answers what lacks a parent. */
  function pass (pending: readonly NodeView[], now: number, into: Imported): NodeView[] {
    const clock = lamport
    return pending.filter((node) => {
      const fault = refusal(node, clock, now)
      const orphan = fault === null && lacksParent(dag, node)
      const refused = orphan ? null : fault ?? take(node)
      if (refused !== null) into.refusals.push(refused)
      else if (!orphan) into.accepted.push(bytesOf(node))
      return orphan
    })
  }

  const room: OriginalRoom = {
    dag,
    trie: createTrie(dag, blake3),
    policy: null,
    key: null,
    ids: () => everything().map((i) => toHex(dag.id(i))),
    import (nodes, now) {
      const result: Imported = { accepted: [], refusals: [] }
      const fresh = new Map(nodes.filter((node) => dag.indexOf(idOf(node)) < 0).map((node) => [toHex(idOf(node)), node]))
      let pending = [...fresh.values()]
      for (let before = Infinity; pending.length > 0 && pending.length < before;) {
        before = pending.length
        pending = pass(pending, now, result)
      }
      if (pending.length > 0) result.refusals.push(`missing_parent: ${pending.length} node(s) unresolved`)
      return result
    },
    differ (negotiated, ibf, frontier) {
      const rest = room.without(frontier)
      if (!negotiated) return { catchUp: rest, missing: rest.map((i) => toHex(dag.id(i))) }
      if (typeof ibf !== 'string') return { catchUp: rest, missing: [] }
      const read = peel(dag, filters, ibf)
      if (read === null) return { catchUp: everything(), missing: [] }
      return { catchUp: read.onlySelf.map((id) => dag.indexOf(id)), missing: read.onlyOther.map(toHex) }
    },
    without (ids) {
      const listed = new Set(room.only(ids))
      return everything().filter((i) => !listed.has(i))
    },
    only: (ids) => fromHexList(ids).map((id) => dag.indexOf(id)).filter((i) => i >= 0),
    pack: (indices) => toBase64(encodePack(indices.map((i) => dag.bytes(i)).sort((a, b) => Buffer.compare(a, b)))),
    passing: (indices, patterns) => indices.filter((i) => passes(dag.view(i), patterns))
  }
  return room
}

function unsigned (node: NodeView): boolean {
  return signatureOf(node).every((byte) => byte === 0)
}

function lacksParent (dag: Dag, node: NodeView): boolean {
  return Array.from({ length: node.parentCount }, (_, i) => parentOf(node, i)).some((parent) => dag.indexOf(parent) < 0)
}

function keysOf (node: NodeView): string[] {
  const keys: string[] = []
  everyKey(node, (bytes, start, end) => keys.push(utf8Decode(bytes, start, end)) > 0)
  return keys
}

/** The first key that the policy does not let its author write (§5.2). */
function forbidden (node: NodeView, { rules, default: otherwise }: WritePolicy): string | null {
  const author = toHex(authorOf(node))
  return keysOf(node).find((key) => {
    const rule = rules.find(({ pathGlob }) => policyGlob(pathGlob)(key))
    return rule === undefined ? otherwise === 'deny' : !rule.canWrite.includes(author)
  }) ?? null
}

/** Filters of native peers only; those of WebAssembly clients never peel. */
function peel (dag: Dag, filters: Filters, ibf: string): ReturnType<typeof peelByCount> {
  const feeding = feedFilters(filters, dag)
  while (feeding.next().done !== true) continue
  try {
    return peelByCount(subtract(filters.wide, decodeFilter(fromBase64(ibf))), 'wide', filters.hashes)
  } catch {
    return null
  }
}

export function passes (node: NodeView, patterns: readonly string[]): boolean {
  if (patterns.length === 0 || patterns.includes('**') || node.opCount === 0 || node.sentinel) return true
  return keysOf(node).some((key) => patterns.some((pattern) => subscriptionGlob(pattern)(key)))
}

/** The nodes of a relay that a subscription lets through, as its text; null when none is left. */
export function filterPack (nodes: string, patterns: readonly string[]): string | null {
  const all = scanPack(fromBase64(nodes))
  const kept = all.filter((node) => passes(node, patterns))
  if (kept.length === all.length) return nodes
  return kept.length === 0 ? null : toBase64(encodePack(kept.map(bytesOf)))
}
