import { compareBytes } from '../protocol/bytes.js'
import { ID_LENGTH, MIN_NODE_LENGTH, scanNode } from '../protocol/node.js'
import { cursor } from '../protocol/postcard.js'
import type { StorageBatch } from './storage.js'

/** Throws RangeError for what cannot be encoded nodes and ids, before anything is written. */
export function checkBatch ({ pending = [], confirmed = [], dropped = [] }: StorageBatch): void {
  if ([...pending, ...confirmed].some((node) => node.length < MIN_NODE_LENGTH)) throw new RangeError('a node is longer')
  if (dropped.some((id) => id.length !== ID_LENGTH)) throw new RangeError(`an id has ${ID_LENGTH} bytes`)
}

export const idOfEncoded = (node: Uint8Array): Uint8Array => node.subarray(0, ID_LENGTH)

/**
 * Nodes of several tabs in an order in which they can be applied and sent: a node's lamport value is above that of its parents.
 * Throws `reject.protocol_invalid_message` for what is no node.
 */
export function inOrder (nodes: readonly Uint8Array[]): Uint8Array[] {
  return nodes
    .map((node) => ({ node, lamport: scanNode(cursor(node)).lamport }))
    .sort((a, b) => a.lamport - b.lamport || compareBytes(idOfEncoded(a.node), idOfEncoded(b.node)))
    .map(({ node }) => node)
}

/**
 * Which nodes this tab knows to be pending, so that a catch-up of many nodes need not look for each of them there. Kept by the first
 * 48 bits of their ids: a number needs no allocation, and a wrong yes costs one deletion of nothing.
 */
export interface PendingIds {
  add (id: Uint8Array): void
  has (id: Uint8Array): boolean
  delete (id: Uint8Array): void
}

export function createPendingIds (): PendingIds {
  const known = new Set<number>()
  return {
    add: (id) => { known.add(prefixOf(id)) },
    has: (id) => known.has(prefixOf(id)),
    delete: (id) => { known.delete(prefixOf(id)) }
  }
}

function prefixOf (id: Uint8Array): number {
  return ((id[0] << 16 | id[1] << 8 | id[2]) * 0x1000000) + (id[3] << 16 | id[4] << 8 | id[5])
}
