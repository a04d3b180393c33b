import type { SignatureJob } from '../protocol/crypto.js'

const LENGTH = 32

/** 2^255 - 19, the field's order, little-endian. */
const P = littleEndian((1n << 255n) - 19n)
/** 2^252 + 27742317777372353535851937790883648493, the order of the base point. */
const L = littleEndian((1n << 252n) + 27742317777372353535851937790883648493n)
/** The y of a point of order 8; the other such points have it or its negative. */
const Y8 = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n
/** The y of every point of small order: orders 1, 2, 4 and 8. */
const SMALL_ORDER = [1n, (1n << 255n) - 20n, 0n, Y8, (1n << 255n) - 19n - Y8].map(littleEndian)

function littleEndian (n: bigint): Uint8Array {
  return Uint8Array.from({ length: LENGTH }, (_, i) => Number(n >> BigInt(8 * i) & 255n))
}

/**
 * Whether key and signature have the form the rule asks for, which leaves only the equation to be computed: key and R are canonical
 * and not of small order, S is below the order of the base point. Whether they lie on the curve the equation shows.
 */
export function wellFormed ({ author, signature }: SignatureJob): boolean {
  return author.length === LENGTH && signature.length === 2 * LENGTH &&
    isLargePoint(author) && isLargePoint(signature) && below(signature, LENGTH, L, 255)
}

function isLargePoint (bytes: Uint8Array): boolean {
  return below(bytes, 0, P, 127) && !SMALL_ORDER.some((y) => hasY(bytes, y))
}

/** Whether the number at `at` is below `limit`; `top` masks its highest byte, where a point keeps the sign of x. */
function below (bytes: Uint8Array, at: number, limit: Uint8Array, top: number): boolean {
  for (let i = LENGTH - 1; i >= 0; i--) {
    const difference = (bytes[at + i] & (i === LENGTH - 1 ? top : 255)) - limit[i]
    if (difference !== 0) return difference < 0
  }
  return false
}

function hasY (bytes: Uint8Array, y: Uint8Array): boolean {
  return y.every((byte, i) => (bytes[i] & (i === LENGTH - 1 ? 127 : 255)) === byte)
}

export function checkSeed (seed: Uint8Array): void {
  if (seed.length !== LENGTH) throw new RangeError(`an Ed25519 seed has ${LENGTH} bytes`)
}
