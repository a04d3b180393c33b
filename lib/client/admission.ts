import type { Code } from '../errors.js'
import type { Blake3 } from '../protocol/blake3.js'
import { bytesAt } from '../protocol/bytes.js'
import { toHex } from '../protocol/hex.js'
import { type NodeView, authorOf, idOf, signatureOf, transactionOf } from '../protocol/node.js'
import type { Ed25519 } from './ed25519.js'
import { keyAt } from '../protocol/id-key.js'
import type { Orphans } from './orphans.js'
import type { Replica } from './replica.js'

/** Something that came from outside and was left out; the rest of what came with it was taken in. */
export interface Problem {
  code: Code
  message: string
  /** Id of the node it is about, in hexadecimal. */
  id?: string
}

/** The checks of a node, in their order (spec/wire-format.md §5.4). What fails one is told as a problem and left out. */
export interface Admission {
  /** What is new of these and is what its id says; an echo of a pending node confirms it. */
  sift (nodes: readonly NodeView[]): { fresh: NodeView[], echoed: boolean }
  /** Those whose signatures verify. */
  verified (nodes: readonly NodeView[]): Promise<NodeView[]>
  /** Whether a stored node is what its id says. */
  intact (node: NodeView): boolean
  /** Takes in a node and whatever waited for it, or lets it wait in `pool`. Answers whether something came in. */
  admit (node: NodeView, pool: Orphans, ceiling?: number): boolean
}

export interface AdmissionParts {
  replica: Replica
  blake3: Blake3
  ed25519: Ed25519
  /** Nodes that wait for parents from pack to pack. */
  orphans: Orphans
  problem: (problem: Problem) => void
}

/** How far a node's Lamport value may run ahead of what is held (§5.2). */
const LAMPORT_SLACK = 1 << 20

export function createAdmission ({ replica, blake3, ed25519, orphans, problem }: AdmissionParts): Admission {
  function report (node: NodeView, code: Code, message: string): false {
    problem({ code, message, id: toHex(idOf(node)) })
    return false
  }

  const identified = (node: NodeView): boolean => bytesAt(node.bytes, node.start, blake3.hash(transactionOf(node)))

  function admitOne (node: NodeView, pool: Orphans, ceiling: number): boolean {
    if (replica.dag.indexOf(node.bytes, node.start) >= 0) return false
    const missing = replica.missingParent(node)
    if (missing !== null) {
      pool.add(node, missing)
      return false
    }
    if (node.lamport > replica.clock + ceiling) return report(node, 'reject.lamport_ceiling', `lamport ceiling exceeded: ${node.lamport}`)
    replica.attach(node)
    return true
  }

  return {
    sift (nodes) {
      let echoed = false
      const fresh = nodes.filter((node) => {
        if (replica.dag.indexOf(node.bytes, node.start) >= 0) return false
        const own = replica.pending.get(keyAt(node.bytes, node.start))
        if (own === undefined) return identified(node) || report(node, 'reject.hash_mismatch', 'the id is not the hash of the transaction')
        replica.confirm(own)
        echoed = true
        return false
      })
      return { fresh, echoed }
    },
    async verified (nodes) {
      if (nodes.length === 0) return []
      const good = await ed25519.verify(nodes.map((node) => ({ author: authorOf(node), id: idOf(node), signature: signatureOf(node) })))
      return nodes.filter((node, i) => good[i] || report(node, 'reject.invalid_signature', 'the signature does not verify'))
    },
    intact: (node) => identified(node) || report(node, 'client.storage', 'a stored node is not what its id says'),
    admit (first, pool, ceiling = LAMPORT_SLACK) {
      let any = false
      const ready = [first]
      for (let node = ready.pop(); node !== undefined; node = ready.pop()) {
        if (!admitOne(node, pool, ceiling)) continue
        any = true
        const key = keyAt(node.bytes, node.start)
        for (const child of pool.release(key)) ready.push(child)
        for (const child of orphans.release(key)) ready.push(child)
      }
      return any
    }
  }
}
