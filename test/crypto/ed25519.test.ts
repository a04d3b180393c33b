import t from 'tap'
import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto'
import { ED25519_TORSION_SUBGROUP, ed25519 } from '@noble/curves/ed25519.js'
import { createSignatureCheck, createSigner, generateSeed, isPublicKey, keyFor, verifyOne } from '../../lib/crypto/ed25519.js'
import { fastestKeys } from '../../lib/crypto/native.js'
import { toHex } from '../../lib/protocol/hex.js'
import { hex, published, seedOf } from '../protocol/vectors.js'
import { crafted } from './crafted.js'

t.test('ED-1 keys and signatures are those of the vectors', async (t) => {
  for (const { seed_hex: seed, public_key_hex: key } of published.derived.ed25519_keys) {
    t.equal(toHex(createSigner(hex(seed)).publicKey), key)
    t.ok(isPublicKey(hex(key)))
  }
  for (const node of published.derived.nodes_pack_five.nodes) {
    t.equal(toHex(createSigner(seedOf(0x42)).sign(hex(node.id_hex))), node.signature_hex)
    t.ok(verifyOne(hex(node.author_hex), hex(node.id_hex), hex(node.signature_hex)))
  }
  const all = published.derived.node_all_ops
  t.ok(verifyOne(hex(all.author_hex), hex(all.id_hex), hex(all.signature_hex)))
  t.throws(() => createSigner(new Uint8Array(31)), RangeError)
  t.throws(() => createSigner(new Uint8Array(64)), RangeError)
  t.equal(generateSeed().length, 32)
  t.notSame(generateSeed(), generateSeed())
})

t.test('ED-2 crafted inputs that verifiers disagree on are refused, with and without a remembered key', async (t) => {
  const check = createSignatureCheck()
  for (const { name, author, message, signature, valid } of crafted) {
    t.equal(verifyOne(author, message, signature), valid, name)
    t.equal(check(author, message, signature), valid, `${name}, key new`)
    t.equal(check(author, message, signature), valid, `${name}, key known`)
  }
  t.equal(crafted.length, 10)
  for (const { name, author, message, signature, openssl, cofactored } of crafted) {
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(author).toString('base64url') }, format: 'jwk' })
    // Newer versions of OpenSSL refuse keys and R of small order by themselves.
    t.ok(openssl || !verify(null, message, key, signature), `${name}: the platform alone`)
    t.equal(ed25519.verify(signature, message, author), cofactored, `${name}: with the cofactor`)
  }
  t.equal(crafted.filter(({ valid }) => valid).length, 1)
})

t.test('ED-3 a public key is 32 bytes, canonical, on the curve and not of small order', async (t) => {
  for (const point of ED25519_TORSION_SUBGROUP) t.notOk(isPublicKey(hex(point)), point)
  const p = 2n ** 255n - 19n
  const littleEndian = (n: bigint) => hex(n.toString(16).padStart(64, '0')).reverse()
  for (let extra = 0n; extra < 19n; extra++) t.notOk(isPublicKey(littleEndian(p + extra)), `p + ${extra}`)
  t.notOk(isPublicKey(littleEndian(1n | 1n << 255n)), 'x = 0 with the sign bit')
  t.notOk(isPublicKey(littleEndian(2n)), 'not on the curve')
  t.notOk(isPublicKey(new Uint8Array(31)))
  t.notOk(isPublicKey(new Uint8Array(33)))
  t.ok(isPublicKey(Buffer.from(createSigner(seedOf(1)).publicKey)), 'a Buffer will do')
})

t.test('ED-4 anything changed makes a signature invalid', async (t) => {
  const signer = createSigner(seedOf(3))
  const message = randomBytes(32)
  const signature = signer.sign(message)
  const flipped = (bytes: Uint8Array, at: number) => bytes.map((byte, i) => i === at ? byte ^ 1 : byte)
  t.ok(verifyOne(signer.publicKey, message, signature))
  for (const at of [0, 15, 31, 32, 63]) t.notOk(verifyOne(signer.publicKey, message, flipped(signature, at)))
  t.notOk(verifyOne(signer.publicKey, flipped(message, 7), signature))
  t.notOk(verifyOne(flipped(signer.publicKey, 7), message, signature))
  t.notOk(verifyOne(createSigner(seedOf(4)).publicKey, message, signature))
  t.notOk(verifyOne(signer.publicKey, message, signature.subarray(0, 63)))
  t.notOk(verifyOne(signer.publicKey, message, new Uint8Array(65)))
  t.notOk(verifyOne(signer.publicKey, message, new Uint8Array(0)))
  const long = createHash('sha512').update('a message of any length').digest()
  t.ok(verifyOne(signer.publicKey, long, signer.sign(long)))
})

t.test('ED-5 a bounded number of keys is remembered, refused ones too, and forgetting one changes no answer', async (t) => {
  const loaded: string[] = []
  const check = createSignatureCheck(4, (author) => { loaded.push(toHex(author.subarray(0, 1))); return keyFor(author) })
  const message = randomBytes(32)
  const signers = Array.from({ length: 9 }, (_, i) => createSigner(seedOf(i + 1)))
  for (let round = 0; round < 3; round++) {
    for (const signer of signers) {
      t.ok(check(signer.publicKey, message, signer.sign(message)))
      t.notOk(check(signer.publicKey, message, new Uint8Array(64).fill(round + 1)))
    }
  }
  t.equal(loaded.length, 27, 'nine keys in turn are too many for four places')
  loaded.length = 0
  const [first, second] = signers
  const refused = new Uint8Array(32)
  for (let round = 0; round < 5; round++) {
    t.ok(check(first.publicKey, message, first.sign(message)))
    t.ok(check(second.publicKey, message, second.sign(message)))
    t.notOk(check(refused, message, second.sign(message)))
  }
  t.equal(loaded.length, 3, 'three keys in turn are loaded once')
})

const L = ed25519.Point.Fn.ORDER
const little = (n: bigint): Uint8Array => hex(n.toString(16).padStart(64, '0')).reverse()

/** Signatures under keys and nonces that carry torsion points or not; about one in eight of the torn ones satisfies the plain equation. */
function torn (nonce: bigint): { author: Uint8Array, message: Uint8Array, signature: Uint8Array } {
  const { Point } = ed25519
  const { scalar, pointBytes } = ed25519.utils.getExtendedPublicKey(seedOf(Number(nonce % 5n) + 1))
  const points = ED25519_TORSION_SUBGROUP.map((text) => Point.fromHex(text))
  const author = Point.fromBytes(pointBytes).add(points[Number(nonce % 8n)]).toBytes()
  const r = Point.BASE.multiply(nonce).add(points[Number(nonce / 8n % 8n)]).toBytes()
  const message = randomBytes(32)
  const digest = createHash('sha512').update(r).update(author).update(message).digest()
  const k = BigInt('0x' + Buffer.from(digest).reverse().toString('hex')) % L
  return { author, message, signature: new Uint8Array(Buffer.concat([r, little((nonce + k * scalar) % L)])) }
}

t.test('ED-14 libsodium, when it is installed, answers as the platform does, on honest, crafted and torn signatures', async (t) => {
  const native = createSignatureCheck(64, fastestKeys())
  t.not(fastestKeys(), keyFor, 'it is installed here')
  for (const { name, author, message, signature, valid } of crafted) t.equal(native(author, message, signature), valid, name)
  let taken = 0
  for (let nonce = 1n; nonce <= 400n; nonce++) {
    const { author, message, signature } = torn(nonce)
    const plain = verifyOne(author, message, signature)
    taken += Number(plain)
    t.equal(native(author, message, signature), plain, `nonce ${nonce}`)
  }
  t.ok(taken > 20 && taken < 380, 'some verify, some do not')
})

t.test('ED-15 a native verifier that is missing or parts from the rule is not used', async (t) => {
  const cofactored = { crypto_sign_verify_detached: (signature: Uint8Array, message: Uint8Array, author: Uint8Array) => ed25519.verify(signature, message, author) }
  t.equal(fastestKeys(() => { throw new Error('no such package') }), keyFor)
  t.equal(fastestKeys(() => ({})), keyFor)
  t.equal(fastestKeys(() => cofactored), keyFor, 'a verifier with the cofactor')
  t.equal(fastestKeys(() => ({ crypto_sign_verify_detached: () => true })), keyFor)
  const strict = { crypto_sign_verify_detached: (signature: Uint8Array, message: Uint8Array, author: Uint8Array) => verifyOne(author, message, signature) }
  t.not(fastestKeys(() => strict), keyFor)
})
