import type { Blake3 } from '../protocol/blake3.js'
import { type NodeView, authorOf, createNodeBuilder, extraOf, idOf, parentOf, readOps, scanNode, transactionOf } from '../protocol/node.js'
import type { Op } from '../protocol/op.js'
import { cursor } from '../protocol/postcard.js'
import { isEncrypted } from '../state/document.js'
import type { RoomCipher } from './encryption.js'
import { keyAt } from '../protocol/id-key.js'
import type { PendingNode } from './pending.js'

/** Builds nodes. A node has its id before it has its signature, which the id does not cover (spec/client.md §11.2, C9). */
export interface Writer {
  readonly author: Uint8Array
  /** A node on top of `parents`, ascending by bytes. Throws RangeError for operations the format cannot carry. */
  compose (ops: readonly Op[], lamport: number, parents: readonly Uint8Array[]): PendingNode
  /** A node that was signed and stored earlier; `node` is its own copy. */
  revive (node: NodeView): PendingNode
  /** The operations of a node as they are meant: decrypted where they are sealed with this room's key. */
  read (node: NodeView): Op[]
}

export interface WriterParts {
  author: Uint8Array
  blake3: Blake3
  /** Unix milliseconds written into nodes. */
  now: () => number
  cipher?: RoomCipher | undefined
}

export function createWriter ({ author, blake3, now, cipher }: WriterParts): Writer {
  const build = createNodeBuilder(blake3)

  function read (node: NodeView): Op[] {
    const ops = readOps(node)
    if (cipher === undefined || !node.sentinel || !isEncrypted(ops)) return ops
    return cipher.open(ops, authorOf(node), node.lamport) ?? ops
  }

  return {
    author,
    compose (ops, lamport, parents) {
      const sealed = cipher === undefined ? [...ops] : cipher.seal(ops, author, lamport)
      const unsigned = scanNode(cursor(build({ author, lamport, wallMs: now(), ops: sealed, parents: [...parents] })))
      const id = idOf(unsigned)
      const transaction = transactionOf(unsigned)
      // What is sealed takes its lamport values all the same (spec/wire-format.md §14).
      return { ...fresh(id), author, lamport, ops, extra: extraOf(ops), transaction, parents: parents.map((parent) => keyAt(parent)) }
    },
    revive (node) {
      const ops = read(node)
      const parents = Array.from({ length: node.parentCount }, (_, i) => keyAt(parentOf(node, i)))
      const bytes = node.bytes.subarray(node.start, node.end)
      return {
        ...fresh(idOf(node)), author: authorOf(node), lamport: node.lamport, ops, extra: extraOf(ops), transaction: transactionOf(node), parents, bytes, saved: true, ready: true
      }
    },
    read
  }
}

function fresh (id: Uint8Array) {
  return { id, key: keyAt(id), bytes: null, saved: false, ready: false, sent: false, acknowledged: false, gone: false }
}
