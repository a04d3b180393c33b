import { equalBytes } from './bytes.js'
import { fromHex, toHex } from './hex.js'

/**
 * The continuity of identities a token may claim (spec/control-plane.md §4.2): the peer follows on a predecessor, whose key may still
 * be used until the end of the overlap. Unsigned, so it only restricts honest clients; it grants nothing. Returns what is wrong.
 */
export function checkContinuity (value: unknown, peer: Uint8Array, now: number): string | null {
  if (value === undefined || value === null) return null
  const claim: { predecessor_peer_pubkey?: unknown, overlap_not_after?: unknown, revoked_predecessors?: unknown } = Object(value)
  const { predecessor_peer_pubkey: text, overlap_not_after: end, revoked_predecessors: revoked } = claim
  if (typeof text !== 'string') return 'missing token.continuity.predecessor_peer_pubkey'
  const predecessor = fromHex(text, 32)
  if (predecessor === null) return 'invalid token.continuity.predecessor_peer_pubkey'
  if (equalBytes(predecessor, peer)) return 'token continuity predecessor must differ from current peer'
  if (typeof end !== 'number' || !Number.isInteger(end) || end < 0) return 'missing token.continuity.overlap_not_after'
  if (now > end) return 'token continuity overlap window expired'
  const isRevoked = Array.isArray(revoked) && revoked.some((entry) => typeof entry === 'string' && entry.trim().toLowerCase() === toHex(predecessor))
  return isRevoked ? 'token continuity predecessor is revoked' : null
}
