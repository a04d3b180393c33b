import { MIN_NODE_LENGTH, type NodeView, count, scanNode } from './node.js'
import { cursor, take, writeRaw, writeVarint, writer } from './postcard.js'

/**
 * Reads a pack: a varint count and that many nodes (spec/wire-format.md §4). The count is compared with the input's length before
 * anything is allocated; bytes after the last node are ignored and never kept (design §5, row 9).
 * Throws `reject.protocol_invalid_message`.
 */
export function scanPack (bytes: Uint8Array): NodeView[] {
  const c = cursor(bytes)
  const nodes: NodeView[] = []
  for (let left = count(c, MIN_NODE_LENGTH); left > 0; left--) nodes.push(scanNode(c))
  return nodes
}

/** A pack of already encoded nodes. */
export function encodePack (nodes: readonly Uint8Array[]): Uint8Array {
  const w = writer(10 + nodes.reduce((sum, node) => sum + node.length, 0))
  writeVarint(w, nodes.length)
  for (const node of nodes) writeRaw(w, node)
  return take(w)
}
