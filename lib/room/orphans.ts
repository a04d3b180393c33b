import { type NodeView, parentOf } from '../protocol/node.js'
import { keyAt } from '../protocol/id-key.js'

/** What can wait: a node under its key; `since` is when it began to wait, in Unix milliseconds. */
export interface Orphan { node: NodeView, key: string, since: number }

/**
 * Nodes whose parents have not arrived (spec/session-protocol.md §2.1 REC). Bounded by number and bytes; the oldest goes first. Each
 * orphan waits for one missing parent at a time.
 */
export interface Orphans<Waiting extends Orphan> {
  readonly size: number
  /** Keeps an orphan that waits for `parent`; the same node is kept once. */
  add (orphan: Waiting, parent: Uint8Array): void
  /** Takes out everything that waited for this node. */
  release (key: string): Waiting[]
  /** Everything that waits, oldest first, with the parent it waits for. */
  all (): Array<{ orphan: Waiting, parent: Uint8Array }>
  /** Drops what began to wait before `time`. */
  expire (time: number): void
}

export function createOrphans<Waiting extends Orphan> (most: { nodes: number, bytes: number }): Orphans<Waiting> {
  interface Held { orphan: Waiting, parent: Uint8Array, siblings: Map<string, Waiting> }
  const held = new Map<string, Held>()
  const waiting = new Map<string, Map<string, Waiting>>()
  let bytes = 0

  function drop (key: string): void {
    const entry = held.get(key)
    if (entry === undefined) return
    held.delete(key)
    bytes -= entry.orphan.node.end - entry.orphan.node.start
    entry.siblings.delete(key)
    if (entry.siblings.size === 0) waiting.delete(keyAt(entry.parent, 0))
  }

  function shrink (): void {
    for (const key of held.keys()) {
      if (held.size <= most.nodes && bytes <= most.bytes) break
      drop(key)
    }
  }

  return {
    get size () { return held.size },
    add (orphan, parent) {
      drop(orphan.key)
      const key = keyAt(parent, 0)
      const siblings = waiting.get(key) ?? new Map()
      waiting.set(key, siblings.set(orphan.key, orphan))
      held.set(orphan.key, { orphan, parent, siblings })
      bytes += orphan.node.end - orphan.node.start
      shrink()
    },
    release (key) {
      const children = [...waiting.get(key)?.values() ?? []]
      for (const child of children) drop(child.key)
      return children
    },
    all: () => [...held.values()],
    expire (time) {
      for (const [key, { orphan }] of held) {
        if (orphan.since > time) return
        drop(key)
      }
    }
  }
}

/** The first parent of a node that `known` does not know, or null. */
export function missingParent (node: NodeView, known: (bytes: Uint8Array, at: number) => boolean): Uint8Array | null {
  for (let i = 0; i < node.parentCount; i++) {
    if (!known(node.bytes, node.parents + 32 * i)) return parentOf(node, i)
  }
  return null
}
