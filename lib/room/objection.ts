import { NodalmergeError } from '../errors.js'
import { KIND } from '../protocol/op.js'
import { type NodeView, authorOf, eachOp, everyKey, idOf } from '../protocol/node.js'
import { equalBytes } from '../protocol/bytes.js'
import { toHex } from '../protocol/hex.js'
import { utf8Decode } from '../protocol/postcard.js'
import type { Candidate } from './intake.js'
import type { Policy } from './policy.js'

/** How far a node's Lamport value may run ahead of the room (spec/wire-format.md §5.2). */
export const LAMPORT_SLACK = 1 << 20
/** How far a node's wall clock may run ahead of ours, in milliseconds (§5.2). */
export const WALL_SKEW_MS = 86_400_000

/** The key under which encrypted operations travel (§14). */
const E2EE_KEY = '\u0000e2ee'

export function lamportObjection (node: NodeView, clock: number): NodalmergeError | null {
  const ceiling = clock + LAMPORT_SLACK
  if (node.lamport <= ceiling) return null
  return new NodalmergeError('reject.lamport_ceiling',
    `lamport ceiling exceeded on node ${toHex(idOf(node))}: lamport=${node.lamport}, ceiling=${ceiling}`)
}

export function skewObjection (node: NodeView, now: number): NodalmergeError | null {
  if (node.wallMs <= now + WALL_SKEW_MS) return null
  return new NodalmergeError('reject.wall_clock_skew',
    `wall clock skew on node ${toHex(idOf(node))}: wall_ms=${node.wallMs} exceeds now=${now} by more than 24h`)
}

/** The checks of §5.4 that do not depend on parents, in their order, then authority, policy and rights. */
export function objectionTo (candidate: Candidate, room: { clock: number, now: number, policy: Policy, serverKey: Uint8Array }): NodalmergeError | null {
  const { node } = candidate
  return lamportObjection(node, room.clock) ?? skewObjection(node, room.now) ?? signatureObjection(candidate) ??
    authorityObjection(node, room.serverKey) ?? policyObjection(node, room.policy, room.serverKey) ?? candidate.objection
}

export function hashObjection (node: NodeView, actual: Uint8Array): NodalmergeError {
  return new NodalmergeError('reject.hash_mismatch', `hash mismatch: expected ${toHex(idOf(node))}, got ${toHex(actual)}`)
}

export function signatureObjection ({ node, signed }: Candidate): NodalmergeError | null {
  return signed ? null : new NodalmergeError('reject.invalid_signature', `invalid ed25519 signature on node ${toHex(idOf(node))}`)
}

/**
 * Keys that start with U+0000 are the server's alone (design §5 row 6), save for encrypted nodes, which are exactly one Map.Set of
 * the encryption key (spec/wire-format.md §14).
 */
function authorityObjection (node: NodeView, serverKey: Uint8Array): NodalmergeError | null {
  if (!node.sentinel || equalBytes(authorOf(node), serverKey) || encrypted(node)) return null
  return new NodalmergeError('reject.authority_required', `only the server may write reserved keys: node ${toHex(idOf(node))}`)
}

function encrypted (node: NodeView): boolean {
  if (node.opCount !== 1) return false
  let answer = false
  eachOp(node, (shape) => {
    answer = shape.kind === KIND.mapSet && utf8Decode(node.bytes, shape.key, shape.keyEnd) === E2EE_KEY
  })
  return answer
}

/** One denied operation refuses the whole node (§5.4). The server's own nodes are not checked (spec/session-protocol.md §5.2). */
function policyObjection (node: NodeView, policy: Policy, serverKey: Uint8Array): NodalmergeError | null {
  if (policy.open || equalBytes(authorOf(node), serverKey)) return null
  const author = authorOf(node)
  const name = toHex(author)
  let denied: NodalmergeError | null = null
  everyKey(node, (bytes, start, end) => {
    if (policy.canWrite(bytes, start, end, name)) return true
    denied = new NodalmergeError('reject.policy_violation',
      `policy violation: author [${author.join(', ')}] not permitted to write key '${utf8Decode(bytes, start, end)}'`)
    return false
  })
  return denied
}
