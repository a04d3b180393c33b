import type { Blake3 } from '../protocol/blake3.js'
import { compareBytes, equalBytes } from '../protocol/bytes.js'
import type { Verifier } from '../protocol/crypto.js'
import { toHex } from '../protocol/hex.js'
import { type NodeView, authorOf, clockAfter, idOf, nodeId, parentOf, readOps, signatureOf, transactionOf } from '../protocol/node.js'
import { NodalmergeError } from '../errors.js'
import { type Document, createDocument } from './document.js'
import { EXCLUDED, canonicalHash } from './resolve.js'
import { isPureSnapshot } from './snapshot.js'
import { type CanWrite, type Timeline, compilePolicy, policyAt } from './timeline.js'

/** How far a node's lamport may run ahead of the clock (spec/wire-format.md §5.2). */
const LAMPORT_SLACK = 1_048_576

export interface ReplayOptions {
  blake3: Blake3
  /** Checks the signatures; without one they are not checked, as for nodes from one's own storage. */
  verifier?: Verifier
  /** Policies by cut-over; without any, everyone may write. */
  timeline?: Timeline
  /** Whose snapshot nodes are exempt from the policy; nobody's by default. */
  isTrusted?: (author: Uint8Array) => boolean
}

export interface Replayed {
  document: Document
  /** The resolved map without encrypted payloads, by key in UTF-8 byte order. */
  entries: [string, Uint8Array][]
  hash: Uint8Array
}

/**
 * Builds a room's state from its nodes alone, with the checks of a fresh replica (spec/wire-format.md §15.1): id, lamport ceiling
 * against the running clock, signature, parents, policy at the node's lamport. The order of the input does not matter; repeats are
 * ignored. For tools and tests: a live room keeps its graph. Throws `reject.hash_mismatch`, `reject.lamport_ceiling`,
 * `reject.invalid_signature`, `reject.missing_parent` or `reject.policy_violation`.
 */
export async function replay (nodes: readonly NodeView[], options: ReplayOptions): Promise<Replayed> {
  for (const node of nodes) checkId(node, options.blake3)
  await checkSignatures(nodes, options.verifier)
  const document = createDocument()
  const may = permission(options)
  let clock = 0
  for (const node of parentsFirst(nodes)) {
    if (node.lamport > clock + LAMPORT_SLACK) throw new NodalmergeError('reject.lamport_ceiling')
    may(node)
    clock = clockAfter(clock, node.lamport, node.extra)
    document.applyView(node)
  }
  const entries = document.map.sorted().filter(([key]) => !EXCLUDED.replay(key))
  return { document, entries, hash: canonicalHash(entries, options.blake3) }
}

function checkId (node: NodeView, blake3: Blake3): void {
  const actual = nodeId(transactionOf(node), blake3)
  if (equalBytes(actual, idOf(node))) return
  throw new NodalmergeError('reject.hash_mismatch', `hash mismatch: expected ${toHex(idOf(node))}, got ${toHex(actual)}`)
}

async function checkSignatures (nodes: readonly NodeView[], verifier: Verifier | undefined): Promise<void> {
  const jobs = nodes.map((node) => ({ author: authorOf(node), id: idOf(node), signature: signatureOf(node) }))
  const bad = (await verifier?.verify(jobs))?.indexOf(false) ?? -1
  if (bad >= 0) throw new NodalmergeError('reject.invalid_signature', `invalid ed25519 signature on node ${toHex(jobs[bad].id)}`)
}

/** Throws unless the policy in force at a node's lamport lets its author write all its keys. */
function permission ({ timeline = [], isTrusted = () => false }: ReplayOptions): (node: NodeView) => void {
  const compiled = new Map<object, CanWrite>()
  return (node) => {
    const policy = policyAt(timeline, node.lamport)
    if (policy.rules.length === 0 && policy.default === 'allow') return
    const ops = readOps(node)
    const author = authorOf(node)
    if (isPureSnapshot(ops) && isTrusted(author)) return
    const canWrite = compiled.get(policy) ?? compilePolicy(policy)
    compiled.set(policy, canWrite)
    const refused = ops.find((op) => !canWrite(op.key, toHex(author)))
    if (refused !== undefined) {
      throw new NodalmergeError('reject.policy_violation', `policy violation: author [${author.join(', ')}] not permitted to write key '${refused.key}'`)
    }
  }
}

function inCanonicalOrder (a: NodeView, b: NodeView): number {
  return a.lamport - b.lamport || compareBytes(authorOf(a), authorOf(b)) || compareBytes(idOf(a), idOf(b))
}

interface Pending { node: NodeView, missing: number, children: Pending[] }

/** The nodes once each, parents before children and otherwise in canonical order, so that the outcome depends on the set alone. */
function parentsFirst (nodes: readonly NodeView[]): NodeView[] {
  const byId = new Map([...nodes].sort(inCanonicalOrder).map((node): [string, Pending] => [toHex(idOf(node)), { node, missing: 0, children: [] }]))
  const ready: Pending[] = []
  for (const entry of byId.values()) {
    const parents = new Set(Array.from({ length: entry.node.parentCount }, (_, i) => toHex(parentOf(entry.node, i))))
    for (const parent of parents) {
      const known = byId.get(parent)
      if (known === undefined) throw new NodalmergeError('reject.missing_parent', `missing parent node: ${parent}`)
      known.children.push(entry)
    }
    entry.missing = parents.size
    if (parents.size === 0) ready.push(entry)
  }
  for (const { children } of ready) for (const child of children) if (--child.missing === 0) ready.push(child)
  return ready.map(({ node }) => node)
}
