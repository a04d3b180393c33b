import type { Blake3 } from '../../lib/protocol/blake3.js'
import type { Signer } from '../../lib/protocol/crypto.js'
import { createSigner } from '../../lib/index.js'
import { compareBytes } from '../../lib/protocol/bytes.js'
import { encodeNode, encodeTransaction, nodeId } from '../../lib/protocol/node.js'
import type { Anchor, TextOp } from '../../lib/protocol/op.js'
import { type TraceEdit, authorOf } from '../state/traces.js'

/** An edit as a node of a real key. */
export interface SignedEdit { agent: number, node: Uint8Array, id: Uint8Array, parents: readonly number[] }

/** Keys for the agents of a trace, in the order of the made-up keys they stand for, so that ties are settled alike. */
export function signersFor (agents: number): Signer[] {
  return Array.from({ length: agents }, (_, i) => createSigner(new Uint8Array(32).fill(40 + i))).sort((a, b) => compareBytes(a.publicKey, b.publicKey))
}

/** Signs each edit on top of the nodes of its parents. */
export function * signEdits (edits: Iterable<TraceEdit>, signers: readonly Signer[], blake3: Blake3): Generator<SignedEdit> {
  const ids: Uint8Array[] = []
  const real = (author: Uint8Array): Uint8Array => signers[author[0] - authorOf(0)[0]].publicKey
  for (const { agent, lamport, op, parents } of edits) {
    const signer = signers[agent]
    const transaction = encodeTransaction({
      author: signer.publicKey, lamport, wallMs: 0, ops: [renamed(op, real)], parents: parents.map((parent) => ids[parent]).sort(compareBytes)
    })
    const id = nodeId(transaction, blake3)
    ids.push(id)
    yield { agent, id, node: encodeNode(id, transaction, signer.sign(id)), parents }
  }
}

/** The operation with the real author in its anchor. */
function renamed (op: TextOp, real: (author: Uint8Array) => Uint8Array): TextOp {
  if (op.type === 'text-insert') return op.after === null ? op : { ...op, after: { ...op.after, author: real(op.after.author) } }
  if (op.type === 'text-delete') return { ...op, target: { ...op.target, author: real(op.target.author) } }
  const anchor: Anchor = op.anchor.at === 'after' ? { at: 'after', id: { ...op.anchor.id, author: real(op.anchor.id.author) } } : op.anchor
  return { ...op, anchor }
}
