import { bytesAt, compareBytes } from '../protocol/bytes.js'
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
 * The authors of what is or was pending here: few. Only their nodes can be taken out of pending, so that a catch-up of many nodes of
 * others need not look for each of them there.
 */
export interface Authors {
  add (node: Uint8Array): void
  wrote (node: Uint8Array): boolean
}

export function createAuthors (): Authors {
  const authors: Uint8Array[] = []
  const wrote = (node: Uint8Array): boolean => authors.some((author) => bytesAt(node, ID_LENGTH, author))
  return {
    add (node) {
      if (!wrote(node)) authors.push(node.slice(ID_LENGTH, 2 * ID_LENGTH))
    },
    wrote
  }
}
