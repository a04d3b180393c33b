import { createHash } from 'node:crypto'
import { ED25519_TORSION_SUBGROUP, ed25519 } from '@noble/curves/ed25519.js'
import type { Blake3 } from '../../lib/protocol/blake3.js'
import { encodeNode, encodeTransaction, nodeId } from '../../lib/protocol/node.js'

/** A signature by other means than signing, over whatever id the node turns out to have. */
interface Craft { name: string, author: Uint8Array, signature (id: Uint8Array): Uint8Array }

export interface Crafted { name: string, node: Uint8Array }

const { Point } = ed25519
const ORDER = Point.Fn.ORDER
const ONE = Uint8Array.of(1, ...new Uint8Array(31))
/** The same point as `ONE`, spelled with y = p + 1. */
const ONE_AGAIN = Uint8Array.of(0xee, ...new Uint8Array(30).fill(0xff), 0x7f)
const ORDER_TWO = Uint8Array.of(0xec, ...new Uint8Array(30).fill(0xff), 0x7f)
const ZERO = new Uint8Array(32)
const TORSION = ED25519_TORSION_SUBGROUP.map((text) => Point.fromHex(text, true)).find((point) => !point.double().is0() && !point.double().double().is0()) ?? Point.ZERO

const number = (bytes: Uint8Array): bigint => bytes.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n)
const bytes = (value: bigint): Uint8Array => Uint8Array.from({ length: 32 }, (_, i) => Number(value >> BigInt(8 * i) & 255n))
const join = (r: Uint8Array, s: Uint8Array): Uint8Array => Uint8Array.of(...r, ...s)
const challenge = (r: Uint8Array, author: Uint8Array, id: Uint8Array): bigint =>
  number(createHash('sha512').update(r).update(author).update(id).digest()) % ORDER

/** The ten inputs on which verifiers disagree; the first is honest, the others must be refused by everybody. */
function crafts (seed: Uint8Array): Craft[] {
  const { scalar, pointBytes: honest } = ed25519.utils.getExtendedPublicKey(seed)
  const nonce = 1_234_567_890_123_456_789n
  const r = Point.BASE.multiply(nonce)
  const shifted = Point.fromBytes(honest).add(TORSION).toBytes()
  const bent = r.add(TORSION).toBytes()
  const answer = (start: Uint8Array, first: bigint, author: Uint8Array) => (id: Uint8Array): Uint8Array =>
    join(start, bytes((first + challenge(start, author, id) * scalar) % ORDER))
  const fixed = (start: Uint8Array) => () => join(start, ZERO)
  return [
    { name: 'honest', author: honest, signature: (id) => ed25519.sign(id, seed) },
    { name: 'S + L', author: honest, signature: (id) => malleate(ed25519.sign(id, seed)) },
    { name: 'key of order 1', author: ONE, signature: fixed(ONE) },
    { name: 'key spelled p + 1', author: ONE_AGAIN, signature: fixed(ONE) },
    { name: 'key of order 2', author: ORDER_TWO, signature: fixed(ONE) },
    { name: 'key and signature of zeros', author: ZERO, signature: fixed(ZERO) },
    { name: 'torsion in R', author: honest, signature: answer(bent, nonce, honest) },
    { name: 'torsion in the key', author: shifted, signature: answer(r.toBytes(), nonce, shifted) },
    { name: 'R = 1', author: honest, signature: answer(ONE, 0n, honest) },
    { name: 'R = 1, spelled p + 1', author: honest, signature: answer(ONE_AGAIN, 0n, honest) }
  ]
}

function malleate (signature: Uint8Array): Uint8Array {
  return join(signature.subarray(0, 32), bytes(number(signature.subarray(32)) + ORDER))
}

/** A node for each of the ten. */
export function craftedNodes (seed: Uint8Array, blake3: Blake3): Crafted[] {
  return crafts(seed).map(({ name, author, signature }, i) => {
    const transaction = encodeTransaction({ author, lamport: i + 1, wallMs: 0, ops: [{ type: 'map-delete', key: name }], parents: [] })
    const id = nodeId(transaction, blake3)
    return { name, node: encodeNode(id, transaction, signature(id)) }
  })
}

/** What noble's lenient verifier says of a node: the proof that the crafted inputs are what they claim to be. */
export function lenientlyValid (node: Uint8Array): boolean {
  const signature = node.subarray(node.length - 64)
  try {
    return ed25519.verify(Uint8Array.from(signature), Uint8Array.from(node.subarray(0, 32)), Uint8Array.from(node.subarray(32, 64)))
  } catch {
    return false
  }
}
