import { equalBytes } from '../protocol/bytes.js'
import { type NodeView, idOf } from '../protocol/node.js'

/** Nodes that wait for a parent, at most `max` of them. */
export interface Orphans {
  readonly size: number
  /** Keeps a node until `parent` arrives, or says why not. */
  hold (parent: string, node: NodeView): 'held' | 'known' | 'full'
  /** Takes out the nodes that waited for this one. */
  release (parent: string): NodeView[]
}

export function createOrphans (max: number): Orphans {
  const waiting = new Map<string, NodeView[]>()
  let size = 0
  return {
    get size () { return size },
    hold (parent, node) {
      const siblings = waiting.get(parent) ?? []
      if (siblings.some((other) => equalBytes(idOf(other), idOf(node)))) return 'known'
      if (size >= max) return 'full'
      size++
      waiting.set(parent, [...siblings, node])
      return 'held'
    },
    release (parent) {
      const freed = waiting.get(parent) ?? []
      waiting.delete(parent)
      size -= freed.length
      return freed
    }
  }
}
