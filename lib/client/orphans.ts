import { type NodeView, idOf } from '../protocol/node.js'
import { idOfKey, keyAt } from '../protocol/id-key.js'

/** Verified nodes that wait for a parent (spec/client.md §11.2, C2). Bounded by number and bytes; the oldest goes first. */
export interface Orphans {
  readonly size: number
  /** Keeps a node that waits for `parent`; the same node is kept once. */
  add (node: NodeView, parent: Uint8Array): void
  /** Takes out everything that waits for this node. */
  release (key: string): NodeView[]
  /** What waits, oldest first, with the parent it waits for. */
  all (): Array<[node: NodeView, parent: Uint8Array]>
  /** Ids that are waited for and do not wait themselves, at most `most` of them. */
  wanted (most: number): Uint8Array[]
}

interface Held { node: NodeView, parent: string, siblings: Set<string> }

const MOST_NODES = 1000
const MOST_BYTES = 4 * 1024 * 1024

/** `copy` answers a node in bytes of its own, so that one orphan does not keep a whole frame. */
export function createOrphans (copy: (node: NodeView) => NodeView, most = { nodes: MOST_NODES, bytes: MOST_BYTES }): Orphans {
  const held = new Map<string, Held>()
  const waiting = new Map<string, Set<string>>()
  let bytes = 0

  function take (key: string): NodeView[] {
    const entry = held.get(key)
    if (entry === undefined) return []
    held.delete(key)
    bytes -= entry.node.end - entry.node.start
    entry.siblings.delete(key)
    if (entry.siblings.size === 0) waiting.delete(entry.parent)
    return [entry.node]
  }

  return {
    get size () { return held.size },
    add (node, parent) {
      const key = keyAt(idOf(node))
      const name = keyAt(parent)
      take(key)
      const siblings = waiting.get(name) ?? new Set()
      waiting.set(name, siblings.add(key))
      held.set(key, { node: copy(node), parent: name, siblings })
      bytes += node.end - node.start
      for (const oldest of held.keys()) {
        if (held.size <= most.nodes && bytes <= most.bytes) break
        take(oldest)
      }
    },
    release: (key) => [...waiting.get(key) ?? []].flatMap(take),
    all: () => [...held.values()].map(({ node, parent }) => [node, idOfKey(parent)]),
    wanted (limit) {
      const ids: Uint8Array[] = []
      for (const key of waiting.keys()) {
        if (held.has(key)) continue
        if (ids.push(idOfKey(key)) === limit) break
      }
      return ids
    }
  }
}

/** For nodes whose number something else bounds; they stay where they lie. */
export function unboundedOrphans (): Orphans {
  return createOrphans((node) => node, { nodes: Infinity, bytes: Infinity })
}
