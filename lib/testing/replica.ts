import type { Blake3 } from '../protocol/blake3.js'
import { compareBytes, concat } from '../protocol/bytes.js'
import { toHex } from '../protocol/hex.js'
import { type NodeView, bytesOf, clockAfter, idOf, parentOf, scanNode } from '../protocol/node.js'
import { cursor } from '../protocol/postcard.js'

/** The nodes of one room in a plain Map, parents first, with heads and Lamport clock. For tests: one string per node is fine here. */
export interface Replica {
  readonly nodes: ReadonlyMap<string, Uint8Array>
  readonly heads: ReadonlyMap<string, Uint8Array>
  /** The Lamport clock; a write moves it by hand (spec/wire-format.md §5.1). */
  clock: number
  /** Keeps a node that passed every check and whose parents are kept. */
  add (node: NodeView): void
  /** The first parent that is not here, in hexadecimal. */
  missingParent (node: NodeView): string | null
  /** The nodes that are neither listed nor an ancestor of a listed one, parents first. */
  beyond (heads: Iterable<string>): Uint8Array[]
  /** BLAKE3 over the heads in ascending order (spec/wire-format.md §6). */
  root (blake3: Blake3): string
}

export function createReplica (from: Iterable<Uint8Array> = []): Replica {
  const nodes = new Map<string, Uint8Array>()
  const heads = new Map<string, Uint8Array>()
  const replica: Replica = {
    nodes,
    heads,
    clock: 0,
    add (node) {
      for (const parent of parentsOf(node)) heads.delete(parent)
      const id = toHex(idOf(node))
      nodes.set(id, bytesOf(node))
      heads.set(id, idOf(node))
      replica.clock = clockAfter(replica.clock, node.lamport, node.extra)
    },
    missingParent: (node) => parentsOf(node).find((parent) => !nodes.has(parent)) ?? null,
    beyond: (known) => withoutAncestors(nodes, known),
    root: (blake3) => toHex(blake3.hash(concat([...heads.values()].sort(compareBytes))))
  }
  for (const bytes of from) replica.add(scanNode(cursor(bytes)))
  return replica
}

function parentsOf (node: NodeView): string[] {
  return Array.from({ length: node.parentCount }, (_, i) => toHex(parentOf(node, i)))
}

/** Insertion order has parents first, so one walk backwards meets every node after all of its children. */
function withoutAncestors (nodes: ReadonlyMap<string, Uint8Array>, known: Iterable<string>): Uint8Array[] {
  const covered = new Set(known)
  const rest: Uint8Array[] = []
  for (const [id, bytes] of [...nodes].reverse()) {
    if (!covered.has(id)) rest.push(bytes)
    else for (const parent of parentsOf(scanNode(cursor(bytes)))) covered.add(parent)
  }
  return rest.reverse()
}
