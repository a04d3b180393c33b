import { createPrivateKey, createPublicKey, randomBytes, sign, verify } from 'node:crypto'
import { ED25519_TORSION_SUBGROUP, ed25519 } from '@noble/curves/ed25519.js'
import type { Signer } from '../protocol/crypto.js'

/**
 * Ed25519 on the server. `node:crypto` alone accepts some crafted inputs that other verifiers refuse, and two replicas that disagree
 * on one node split a room for ever; the rule here is the one every replica has to apply (design §4, Crypto):
 * a public key decodes canonically and is not of small order, R is not one of the eight small-order points, then the platform verifies.
 */

export const SEED_LENGTH = 32
export const PUBLIC_KEY_LENGTH = 32
const SIGNATURE_LENGTH = 64

/** DER header of a raw Ed25519 seed (RFC 8410). */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')

/** Public keys whose verdict one check remembers; a peer that sends a new key with every node costs itself time, not us memory. */
export const REMEMBERED_KEYS = 4096

/** Verifies a message of any length under one key that was found good; the signature has 64 bytes. */
export type KeyCheck = (message: Uint8Array, signature: Uint8Array) => boolean

export type SignatureCheck = (author: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean

/** Signs with a 32-byte seed. Throws RangeError for any other length. */
export function createSigner (seed: Uint8Array): Signer {
  if (seed.length !== SEED_LENGTH) throw new RangeError(`an Ed25519 seed has ${SEED_LENGTH} bytes`)
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' })
  const { x = '' } = createPublicKey(key).export({ format: 'jwk' })
  return {
    publicKey: new Uint8Array(Buffer.from(x, 'base64url')),
    sign: (message) => new Uint8Array(sign(null, message, key))
  }
}

export function generateSeed (): Uint8Array {
  return new Uint8Array(randomBytes(SEED_LENGTH))
}

/** Whether these are the 32 bytes of a public key that may author nodes or lock a room: canonical, on the curve, not of small order. */
export function isPublicKey (bytes: Uint8Array): boolean {
  if (bytes.length !== PUBLIC_KEY_LENGTH) return false
  try {
    return !ed25519.Point.fromBytes(Uint8Array.from(bytes), false).isSmallOrder()
  } catch {
    return false
  }
}

/** Verifies one signature and remembers nothing: for tokens. For nodes use a `Verifier` or `createSignatureCheck`. */
export function verifyOne (author: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  return verifyWith(keyFor(author), message, signature)
}

/** `verifyOne` that remembers the keys it has seen: checking a new key costs more than verifying under a known one. */
export function createSignatureCheck (remembered = REMEMBERED_KEYS, load: (author: Uint8Array) => KeyCheck | null = keyFor): SignatureCheck {
  let recent = new Map<string, KeyCheck | null>()
  let older = recent

  function lookUp (author: Uint8Array): KeyCheck | null {
    const name = Buffer.from(author.buffer, author.byteOffset, author.length).toString('latin1')
    const known = recent.get(name)
    if (known !== undefined) return known
    const kept = older.get(name)
    const key = kept === undefined ? load(author) : kept
    if (recent.size >= remembered / 2) {
      older = recent
      recent = new Map()
    }
    recent.set(name, key)
    return key
  }

  return (author, message, signature) => verifyWith(lookUp(author), message, signature)
}

/** The platform's verification under a key, or null for one that is refused. From JWK the key takes a tenth of what it takes from DER. */
export function keyFor (author: Uint8Array): KeyCheck | null {
  if (!isPublicKey(author)) return null
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(author).toString('base64url') }, format: 'jwk' })
  return (message, signature) => verify(null, message, key, signature)
}

function verifyWith (key: KeyCheck | null, message: Uint8Array, signature: Uint8Array): boolean {
  return key !== null && signature.length === SIGNATURE_LENGTH && !hasSmallOrder(signature) && key(message, signature)
}

const SMALL_ORDER = ED25519_TORSION_SUBGROUP.map((text) => new Uint8Array(Buffer.from(text, 'hex')))

/** Whether a signature's R is a point of small order; covers the all-zero signature, which some take for "unsigned". */
function hasSmallOrder (signature: Uint8Array): boolean {
  return SMALL_ORDER.some((point) => startsWith(signature, point))
}

function startsWith (bytes: Uint8Array, start: Uint8Array): boolean {
  for (let i = 0; i < start.length; i++) if (bytes[i] !== start[i]) return false
  return true
}
