import { bytesOf, scanNode } from '../protocol/node.js'
import {
  cursor, malformed, readVarint, skipBytes, take, varintLength, writeBytes, writeVarint, writer
} from '../protocol/postcard.js'

/** Two of these fit in a chunk, so that reading never has to hold much more than one. One node may be larger. */
const RECORD_BYTES = 512 * 1024

/** Consecutive nodes of a room under one key: a count, then each with its length before it. */
export interface NodeRecord { first: number, value: Uint8Array }

/** Splits new nodes into records; `first` counts from 0. */
export function nodeRecords (nodes: readonly Uint8Array[]): NodeRecord[] {
  const records: NodeRecord[] = []
  for (let first = 0, end; first < nodes.length; first = end) {
    let size = slotLength(nodes[first])
    for (end = first + 1; end < nodes.length; end++) {
      size += slotLength(nodes[end])
      if (size > RECORD_BYTES) break
    }
    records.push({ first, value: encodeRecord(nodes, first, end) })
  }
  return records
}

function slotLength (node: Uint8Array): number {
  return varintLength(node.length) + node.length
}

function encodeRecord (nodes: readonly Uint8Array[], first: number, end: number): Uint8Array {
  let size = varintLength(end - first)
  for (let i = first; i < end; i++) size += slotLength(nodes[i])
  const w = writer(size)
  writeVarint(w, end - first)
  for (let i = first; i < end; i++) writeBytes(w, nodes[i])
  return take(w)
}

/**
 * The nodes of a record with a seq above `after`, pushed to `nodes`; `first` is the seq of the record's first node. A node that is
 * no node is reported and left out, its neighbours stay: that is what the lengths are for. Answers with the seq at which reading
 * ended, and with the cause when that was before the record's end.
 */
export function readRecord (
  value: Uint8Array, first: number, after: number, nodes: Uint8Array[], damaged: (seq: number, cause: unknown) => void
): { next: number, cause?: unknown } {
  const c = cursor(value)
  let next = first
  try {
    for (const end = first + readVarint(c); next < end; next++) {
      const start = skipBytes(c)
      if (next <= after) continue
      const node = readNode(value, start, c.pos)
      if (node instanceof Uint8Array) nodes.push(node)
      else damaged(next, node.cause)
    }
    return { next }
  } catch (cause) {
    return { next, cause }
  }
}

function readNode (value: Uint8Array, start: number, end: number): Uint8Array | { cause: unknown } {
  try {
    const c = cursor(value, start, end)
    const node = bytesOf(scanNode(c))
    if (c.pos !== end) throw malformed('bytes after the node')
    return node
  } catch (cause) {
    return { cause }
  }
}
