import type { WrittenNode } from './core.js'

/** An own node on its way: built, signed, stored, sent, acknowledged, in this order. */
export interface PendingNode extends WrittenNode {
  readonly key: string
  /** Keys of the parents. */
  readonly parents: readonly string[]
  /** The encoded transaction; its operations are sealed when the room is encrypted, `ops` never are. */
  readonly transaction: Uint8Array
  /** Lamport values taken beyond `lamport` by the operations. */
  readonly extra: number
  /** The whole encoding; null until it is signed. */
  bytes: Uint8Array | null
  /** In storage. */
  saved: boolean
  /** May be sent: it is in storage, or storage has failed. */
  ready: boolean
  /** Written to the present socket. */
  sent: boolean
  /** A server has it, but a parent is not held here: it becomes confirmed with that. */
  acknowledged: boolean
  /** No longer pending: confirmed or taken out. */
  gone: boolean
}

/** The nodes written here, or in another tab of the same storage, that no server is known to have; in order of writing. */
export interface Pending {
  readonly size: number
  /** How many are not in storage. */
  readonly unsaved: number
  /** How many are not written to the present socket. */
  readonly unsent: number
  get (key: string): PendingNode | undefined
  all (): IterableIterator<PendingNode>
  add (node: PendingNode): void
  remove (node: PendingNode): void
  markSaved (node: PendingNode): void
  markSent (node: PendingNode, sent: boolean): void
  /** Nothing is sent any more: the socket is gone. */
  markAllUnsent (): void
  /** Those of the given nodes that are pending, and everything pending that descends from them, in order. */
  lineage (keys: Iterable<string>): PendingNode[]
}

export function createPending (): Pending {
  const nodes = new Map<string, PendingNode>()
  let saved = 0
  let sent = 0

  return {
    get size () { return nodes.size },
    get unsaved () { return nodes.size - saved },
    get unsent () { return nodes.size - sent },
    get: (key) => nodes.get(key),
    all: () => nodes.values(),
    add (node) {
      nodes.set(node.key, node)
      if (node.saved) saved++
    },
    remove (node) {
      nodes.delete(node.key)
      node.gone = true
      if (node.saved) saved--
      if (node.sent) sent--
    },
    markSaved (node) {
      if (node.saved || node.gone) return
      node.saved = true
      saved++
    },
    markSent (node, now) {
      if (node.sent === now || node.gone) return
      node.sent = now
      sent += now ? 1 : -1
    },
    markAllUnsent () {
      for (const node of nodes.values()) node.sent = false
      sent = 0
    },
    lineage (keys) {
      const found = new Set(keys)
      const line: PendingNode[] = []
      for (const node of nodes.values()) {
        if (!found.has(node.key) && !node.parents.some((parent) => found.has(parent))) continue
        found.add(node.key)
        line.push(node)
      }
      return line
    }
  }
}
