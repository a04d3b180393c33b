import { createHash } from 'node:crypto'
import { ED25519_TORSION_SUBGROUP, ed25519 } from '@noble/curves/ed25519.js'
import { hex, seedOf } from '../protocol/vectors.js'

/**
 * Ten inputs on which widespread verifiers disagree, built by hand with point arithmetic: what OpenSSL says, what a verifier that
 * multiplies by the cofactor says, and what the one rule says.
 */
export interface Crafted {
  name: string
  author: Uint8Array
  message: Uint8Array
  signature: Uint8Array
  openssl: boolean
  cofactored: boolean
  valid: boolean
}

const { Point } = ed25519
const L = Point.Fn.ORDER

const littleEndian = (n: bigint): Uint8Array => hex(n.toString(16).padStart(64, '0')).reverse()
const bigint = (bytes: Uint8Array): bigint => BigInt('0x' + Buffer.from(bytes).reverse().toString('hex'))
const join = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))
const challenge = (r: Uint8Array, a: Uint8Array, m: Uint8Array): bigint => bigint(createHash('sha512').update(join(r, a, m)).digest()) % L

const message = seedOf(0x6d)
const seed = seedOf(0x07)
const { scalar, pointBytes: author } = ed25519.utils.getExtendedPublicKey(seed)
const honest = ed25519.sign(message, seed)
const one = littleEndian(1n)
const zero = littleEndian(0n)
/** A point of order 8. */
const torsion = Point.fromHex(ED25519_TORSION_SUBGROUP[1])
const r = 12345n
const R = Point.BASE.multiply(r)

/** S = r + challenge · a, for whatever R and A the challenge names. */
const answer = (nonce: bigint, rBytes: Uint8Array, aBytes: Uint8Array): Uint8Array =>
  littleEndian((nonce + challenge(rBytes, aBytes, message) * scalar) % L)

/** With a torsion point in the key, the equation holds without the cofactor only for some challenges; take one where it does not. */
function tornKey (): { author: Uint8Array, signature: Uint8Array } {
  const key = Point.fromBytes(author).add(torsion).toBytes()
  for (let nonce = r; ; nonce++) {
    const rBytes = Point.BASE.multiply(nonce).toBytes()
    if (challenge(rBytes, key, message) % 8n !== 0n) return { author: key, signature: join(rBytes, answer(nonce, rBytes, key)) }
  }
}

const tornR = R.add(torsion).toBytes()
const odd = littleEndian(2n ** 255n - 19n + 1n)

export const crafted: Crafted[] = [
  { name: 'honest', author, message, signature: honest, openssl: true, cofactored: true, valid: true },
  { name: 'S + L', author, message, signature: join(honest.slice(0, 32), littleEndian(bigint(honest.slice(32)) + L)), openssl: false, cofactored: false, valid: false },
  { name: 'key of order 1, R = 1, S = 0', author: one, message, signature: join(one, zero), openssl: true, cofactored: true, valid: false },
  { name: 'non-canonical key p + 1, R = 1, S = 0', author: odd, message, signature: join(one, zero), openssl: true, cofactored: true, valid: false },
  { name: 'key of order 2, R = 1, S = 0', author: hex(ED25519_TORSION_SUBGROUP[4]), message, signature: join(one, zero), openssl: false, cofactored: true, valid: false },
  { name: 'key and signature all zero', author: zero, message, signature: join(zero, zero), openssl: false, cofactored: true, valid: false },
  { name: 'torsion point added to R', author, message, signature: join(tornR, answer(r, tornR, author)), openssl: false, cofactored: true, valid: false },
  { name: 'torsion point added to the key', ...tornKey(), message, openssl: false, cofactored: true, valid: false },
  { name: 'honest key, R = 1', author, message, signature: join(one, answer(0n, one, author)), openssl: true, cofactored: true, valid: false },
  { name: 'honest key, R = non-canonical 1', author, message, signature: join(odd, answer(0n, odd, author)), openssl: false, cofactored: true, valid: false }
]
