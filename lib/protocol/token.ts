import { type Code, NodalmergeError } from '../errors.js'
import { compareBytes, concat, equalBytes } from './bytes.js'
import { checkContinuity } from './continuity.js'
import type { Signer, VerifyMessage } from './crypto.js'
import { fromHex, toHex } from './hex.js'
import type { CapabilityProfile } from './profile.js'
import { utf8Decode, utf8Encode } from './postcard.js'

/** A room token as it travels in `hello.token` (spec/wire-format.md §13.2). */
export interface RoomToken {
  peer_pubkey: string
  /** Unix seconds; valid while now < expiry. */
  expiry: number
  caps: string[]
  sig: string
  /** Not covered by the signature. */
  capability_profile_version?: string
}

export interface TokenClaims {
  room: string
  /** Public key of the peer the token is for. */
  peer: Uint8Array
  /** Unix seconds; a number is a safe integer. */
  expiry: number | bigint
  caps: readonly string[]
}

export interface TokenContext {
  room: string
  /** `hello.pubkey`. */
  pubkey: string
  /** The key the token has to be signed with: the room's, or the operator's. */
  key: Uint8Array
  /** Unix time in whole seconds. */
  now: number
  verify: VerifyMessage
  /** When there is one, the capabilities are expanded through it and the token has to name its version. */
  profile?: CapabilityProfile | undefined
}

/** What a good token grants; `expiry` in Unix seconds may be far beyond what a timer can wait. */
export interface Grant { expiry: number, caps: string[] }

const DOMAIN = utf8Encode('nodalmerge-room-token-v1')
const NUL = Uint8Array.of(0)
const LF = Uint8Array.of(10)
const U64_MAX = 2n ** 64n - 1n

/**
 * The bytes a room key signs (spec/wire-format.md §13.1). Throws RangeError for what would make two tokens share one message: U+0000 in
 * the room id, a control character or a lone surrogate in a capability; and for an expiry that is not a 64-bit unsigned integer.
 */
export function tokenMessage ({ room, peer, expiry, caps }: TokenClaims): Uint8Array {
  if (!isSignableRoom(room)) throw new RangeError('a room id of a token holds neither U+0000 nor a lone surrogate')
  if (!caps.every(isSignableCap)) throw new RangeError('a capability holds neither control characters nor a lone surrogate')
  if (peer.length !== 32) throw new RangeError('a public key has 32 bytes')
  return concat([DOMAIN, NUL, utf8Encode(room), NUL, peer, u64(expiry), NUL, ...sorted(caps).flatMap((cap, i) => i === 0 ? [cap] : [LF, cap])])
}

/** By UTF-8 bytes, which is not JavaScript's order of strings. */
function sorted (caps: readonly string[]): Uint8Array[] {
  return caps.map(utf8Encode).sort(compareBytes)
}

/** A token signed by the room's key. Throws RangeError as `tokenMessage` does, and for an expiry that JSON cannot carry exactly. */
export function mintToken (claims: TokenClaims & { expiry: number, profileVersion?: string }, room: Signer): RoomToken {
  if (!Number.isSafeInteger(claims.expiry)) throw new RangeError('an expiry is a safe integer')
  const sig = toHex(room.sign(tokenMessage(claims)))
  const caps = sorted(claims.caps).map((cap) => utf8Decode(cap, 0, cap.length))
  const token: RoomToken = { peer_pubkey: toHex(claims.peer), expiry: claims.expiry, caps, sig }
  return claims.profileVersion === undefined ? token : { ...token, capability_profile_version: claims.profileVersion }
}

/**
 * Checks a token in the order and with the texts of spec/control-plane.md §4.2. The answer is what it grants, or the refusal, whose
 * message starts with `auth: `.
 */
export async function verifyToken (token: Readonly<Record<string, unknown>> | undefined, context: TokenContext): Promise<Grant | NodalmergeError> {
  if (token === undefined) return refusal('unauthorized.token_missing', 'room is locked — include a capability token in hello')
  const read = readToken(token, context)
  if (read instanceof NodalmergeError) return read
  const { claims, signature } = read
  if (BigInt(Math.floor(context.now)) >= claims.expiry) return refusal('unauthorized.token_expired', 'token has expired')
  if (!await context.verify(context.key, tokenMessage(claims), signature)) return refusal('unauthorized.token_invalid', 'signature verification failed')
  const broken = checkContinuity(token.continuity, claims.peer, context.now)
  if (broken !== null) return refusal('unauthorized.token_invalid', broken)
  return expandCaps(claims, stringOf(token.capability_profile_version, token.profile_version), context.profile)
}

function refusal (code: Code, text: string): NodalmergeError {
  return new NodalmergeError(code, `auth: ${text}`)
}

interface ReadToken { claims: TokenClaims & { expiry: bigint, caps: string[] }, signature: Uint8Array }

/** The fields of a token under either of their names, or what is wrong with them (spec/session-protocol.md §5.6). */
function readToken (token: Readonly<Record<string, unknown>>, { room, pubkey }: TokenContext): ReadToken | NodalmergeError {
  const own = fromHex(pubkey, 32)
  const peerHex = stringOf(token.peer_pubkey, token.peer_pubkey_hex)
  const expiry = expiryOf(token.expiry) ?? expiryOf(token.expiry_secs)
  const sigHex = stringOf(token.sig, token.sig_hex)
  const invalid = (text: string) => refusal('unauthorized.token_invalid', text)
  if (peerHex === null) return invalid('missing token.peer_pubkey')
  if (expiry === null) return invalid('missing token.expiry')
  if (sigHex === null) return invalid('missing token.sig')
  if (own === null) return invalid('invalid peer pubkey in hello')
  const peer = fromHex(peerHex, 32)
  const signature = fromHex(sigHex, 64)
  const caps = capsOf(token.caps) ?? capsOf(token.capabilities) ?? []
  if (peer === null) return invalid('malformed token field: peer_pubkey')
  if (signature === null) return invalid('malformed token field: sig')
  if (!caps.every(isSignableCap)) return invalid('malformed token field: caps')
  if (!isSignableRoom(room)) return refusal('reject.room_invalid', 'the room id is not usable')
  if (!equalBytes(own, peer)) return refusal('unauthorized.token_peer_mismatch', 'token peer_pubkey does not match connecting peer')
  return { claims: { room, peer, expiry, caps }, signature }
}

function stringOf (...values: unknown[]): string | null {
  return values.find((value) => typeof value === 'string') ?? null
}

function capsOf (value: unknown): string[] | null {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : null
}

/** An unsigned 64-bit integer. JSON rounds the largest ones, of which the one in use is 2^64-1, "never", to 2^64. */
function expiryOf (value: unknown): bigint | null {
  if (value === 2 ** 64) return U64_MAX
  if (typeof value !== 'bigint' && !(typeof value === 'number' && Number.isInteger(value))) return null
  const n = BigInt(value)
  return n >= 0n && n <= U64_MAX ? n : null
}

function expandCaps ({ expiry, caps }: ReadToken['claims'], claimed: string | null, profile: CapabilityProfile | undefined): Grant | NodalmergeError {
  if (profile === undefined) return { expiry: Number(expiry), caps }
  const expansion = profile.expand(caps, claimed)
  if ('ok' in expansion) return { expiry: Number(expiry), caps: expansion.ok }
  switch (expansion.error) {
    case 'missing_profile_version':
      return refusal('unauthorized.capability_mismatch', 'missing token.capability_profile_version while capability composition is enabled')
    case 'profile_version_mismatch':
      return refusal('unauthorized.capability_mismatch', `unknown token.capability_profile_version '${claimed}' (expected '${profile.version}' or configured compatibility versions)`)
    default:
      return refusal('unauthorized.capability_mismatch', `capability profile expansion failed: ${expansion.error}`)
  }
}

function u64 (n: number | bigint): Uint8Array {
  const value = BigInt(n)
  if (value < 0n || value > U64_MAX) throw new RangeError('an expiry is an unsigned 64-bit integer')
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, value, true)
  return bytes
}

/** A newline inside a capability would read as two capabilities in the signed bytes; so control characters are refused altogether. */
function isSignableCap (cap: string): boolean {
  return !/[\p{Cc}\p{Surrogate}]/u.test(cap)
}

function isSignableRoom (room: string): boolean {
  return !/[\0\p{Surrogate}]/u.test(room)
}
