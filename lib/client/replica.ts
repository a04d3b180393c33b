import { type Dag, createDag } from '../dag/dag.js'
import type { Blake3 } from '../protocol/blake3.js'
import { compareBytes } from '../protocol/bytes.js'
import { type NodeView, authorOf, clockAfter, extraOf, idOf, scanNode } from '../protocol/node.js'
import type { Op } from '../protocol/op.js'
import { cursor } from '../protocol/postcard.js'
import type { AppliedNode } from '../state/document.js'
import type { Views } from '../state/views.js'
import { idOfKey, keyAt } from '../protocol/id-key.js'
import { type Pending, type PendingNode, createPending } from './pending.js'
import type { Writer } from './writer.js'

/**
 * The graph of one room as a client has it: confirmed nodes packed in a dag, own nodes that no server is known to have beside it, in
 * order, so that a refusal can take one out again. The views show both. Nothing here costs more as the history grows.
 */
export interface Replica {
  readonly dag: Dag
  readonly pending: Pending
  readonly views: Views
  /** The Lamport clock over everything held, sealed range inserts included; it never goes back. */
  readonly clock: number
  /** Whether the id `bytes[at .. at+32)` is confirmed or pending. */
  has (bytes: Uint8Array, at?: number): boolean
  /** Builds a node of one's own on top of everything and takes it in as pending. Throws RangeError for operations the format cannot carry. */
  write (ops: readonly Op[]): PendingNode
  /** Takes in a node that is pending since an earlier run, as its own copy; null when it is held already. */
  revive (node: NodeView): PendingNode | null
  /** The first parent of a node of the server that is not confirmed, or null. Pending parents become confirmed: the server has them. */
  missingParent (node: NodeView): Uint8Array | null
  /** Takes in a node that a server has, that is not held and all of whose parents are confirmed. */
  attach (node: NodeView): void
  /** A server has this pending node, and so its ancestors. */
  confirm (node: PendingNode): void
  /** Takes pending nodes out of the document and the graph; nothing that stays may descend from them. */
  remove (nodes: readonly PendingNode[]): void
}

export interface ReplicaParts {
  blake3: Blake3
  writer: Writer
  /** Makes the views over the confirmed nodes. */
  views: (confirmed: () => Iterable<AppliedNode>) => Views
  /** A pending node has become a confirmed one. */
  confirmed: (node: PendingNode) => void
}

/** More heads than this are merged by several nodes one after the other: a flood of roots must not make every node large. */
const MOST_PARENTS = 128

interface Graph {
  readonly dag: Dag
  readonly pending: Pending
  readonly views: Views
  readonly writer: Writer
  /** Leaves of confirmed and pending nodes together. */
  readonly heads: Map<string, Uint8Array>
  /** Parents of pending nodes that are not held: storage may lose the newest confirmed nodes, never a pending one. */
  readonly expected: Set<string>
  clock: number
  readonly confirmed: (node: PendingNode) => void
}

export function createReplica ({ blake3, writer, views, confirmed }: ReplicaParts): Replica {
  const dag = createDag(blake3)
  const g: Graph = {
    dag,
    pending: createPending(),
    views: views(() => confirmedNodes(dag, writer)),
    writer,
    heads: new Map(),
    expected: new Set(),
    clock: 0,
    confirmed
  }
  return {
    dag,
    pending: g.pending,
    views: g.views,
    get clock () { return g.clock },
    has: (bytes, at = 0) => has(g, bytes, at),
    write: (ops) => write(g, ops),
    revive: (node) => revive(g, node),
    // With one parent unknown the node says nothing of the others.
    missingParent: (node) => missingParent(g, node, has) ?? missingParent(g, node, hasConfirmed),
    attach: (node) => attach(g, node),
    confirm: (node) => confirm(g, node),
    remove: (nodes) => remove(g, nodes)
  }
}

function * confirmedNodes (dag: Dag, writer: Writer): Generator<AppliedNode> {
  for (let index = 0; index < dag.size; index++) yield applied(dag.view(index), writer)
}

function applied (node: NodeView, writer: Writer): AppliedNode {
  return { id: idOf(node), author: authorOf(node), lamport: node.lamport, ops: writer.read(node) }
}

function has (g: Graph, bytes: Uint8Array, at: number): boolean {
  return g.dag.indexOf(bytes, at) >= 0 || (g.pending.size > 0 && g.pending.get(keyAt(bytes, at)) !== undefined)
}

function write (g: Graph, ops: readonly Op[]): PendingNode {
  const parents: Uint8Array[] = []
  for (const head of g.heads.values()) if (parents.push(head) === MOST_PARENTS) break
  const node = g.writer.compose(ops, g.clock + 1, parents.sort(compareBytes))
  addPending(g, node)
  return node
}

function revive (g: Graph, view: NodeView): PendingNode | null {
  if (has(g, view.bytes, view.start)) return null
  const node = g.writer.revive(view)
  addPending(g, node)
  expectParents(g, node)
  return node
}

function expectParents (g: Graph, node: PendingNode): void {
  for (const parent of node.parents) if (!has(g, idOfKey(parent), 0)) g.expected.add(parent)
}

function addPending (g: Graph, node: PendingNode): void {
  g.pending.add(node)
  g.clock = clockAfter(g.clock, node.lamport, node.extra)
  addHead(g, node.key, node.id, node.parents)
  g.views.local(node)
}

function addHead (g: Graph, key: string, id: Uint8Array, parents: Iterable<string>): void {
  for (const parent of parents) g.heads.delete(parent)
  g.heads.set(key, id)
}

function attach (g: Graph, view: NodeView): void {
  const index = g.dag.append(view)
  // What is kept of the operations are views: of the dag's own copy, not of the frame.
  const node = applied(g.dag.view(index), g.writer)
  g.clock = clockAfter(g.clock, node.lamport, extraOf(node.ops))
  const key = keyAt(node.id)
  for (let i = 0; i < view.parentCount; i++) g.heads.delete(keyAt(view.bytes, view.parents + 32 * i))
  // A pending node that waited for it descends from it.
  const awaited = g.expected.delete(key)
  if (!awaited) g.heads.set(key, node.id)
  g.views.remote(node)
  if (awaited) confirmAcknowledged(g)
}

function missingParent (g: Graph, node: NodeView, held: (g: Graph, bytes: Uint8Array, at: number) => boolean): Uint8Array | null {
  for (let i = 0; i < node.parentCount; i++) {
    const at = node.parents + 32 * i
    if (!held(g, node.bytes, at)) return node.bytes.subarray(at, at + 32)
  }
  return null
}

/** Whether a parent is confirmed, which it becomes here when it is pending: a server holds no node without its parents. */
function hasConfirmed (g: Graph, bytes: Uint8Array, at: number): boolean {
  if (g.dag.indexOf(bytes, at) >= 0) return true
  const node = g.pending.get(keyAt(bytes, at))
  if (node !== undefined) confirm(g, node)
  return g.dag.indexOf(bytes, at) >= 0
}

/** Confirms what a server has acknowledged while a parent was missing here. */
function confirmAcknowledged (g: Graph): void {
  for (const node of [...g.pending.all()]) if (node.acknowledged) confirm(g, node)
}

function confirm (g: Graph, node: PendingNode): void {
  for (const one of withPendingAncestors(g, node)) confirmOne(g, one)
}

/** Ancestors come before it in the order of writing, but a walk over its parents need not look at all that is pending. */
function withPendingAncestors (g: Graph, last: PendingNode): PendingNode[] {
  const line: PendingNode[] = []
  const seen = new Set<string>()
  const stack: Array<{ node: PendingNode, open: boolean }> = [{ node: last, open: true }]
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    if (!top.open) { line.push(top.node); continue }
    if (seen.has(top.node.key)) continue
    seen.add(top.node.key)
    stack.push({ node: top.node, open: false })
    for (const key of top.node.parents) {
      const parent = g.pending.get(key)
      if (parent !== undefined) stack.push({ node: parent, open: true })
    }
  }
  return line
}

function confirmOne (g: Graph, node: PendingNode): void {
  // No server has what was never signed.
  if (node.gone || node.bytes === null) return
  if (!node.parents.every((parent) => g.dag.indexOf(idOfKey(parent)) >= 0)) {
    node.acknowledged = true
    return
  }
  g.dag.append(scanNode(cursor(node.bytes)))
  g.pending.remove(node)
  g.views.confirm(node.id)
  g.confirmed(node)
}

function remove (g: Graph, nodes: readonly PendingNode[]): void {
  for (const node of nodes.toReversed()) {
    g.pending.remove(node)
    g.views.reject(node.id)
  }
  g.heads.clear()
  for (const id of g.dag.heads()) g.heads.set(keyAt(id), id)
  g.expected.clear()
  for (const node of g.pending.all()) {
    addHead(g, node.key, node.id, node.parents)
    expectParents(g, node)
  }
}
