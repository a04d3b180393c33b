import { createHash, webcrypto } from 'node:crypto'
import t from 'tap'
import { ED25519_TORSION_SUBGROUP, ed25519 } from '@noble/curves/ed25519.js'
import { loadEd25519 } from '../../lib/client/ed25519.js'
import { plainEd25519 } from '../../lib/client/ed25519-plain.js'
import type { Subtle } from '../../lib/client/ed25519-platform.js'
import { createRecent } from '../../lib/client/recent.js'
import { createSigner, verifyOne } from '../../lib/crypto/ed25519.js'
import type { SignatureJob } from '../../lib/protocol/crypto.js'
import { crafted } from '../crypto/crafted.js'
import { hex, published, seedOf } from '../protocol/vectors.js'

const { Point } = ed25519
const L = Point.Fn.ORDER
const P = 2n ** 255n - 19n
const SEED = 20_240_607

const subtle = webcrypto.subtle as unknown as Subtle
const little = (n: bigint): Uint8Array => hex(n.toString(16).padStart(64, '0')).reverse()
const big = (bytes: Uint8Array): bigint => BigInt('0x' + Buffer.from(bytes).reverse().toString('hex'))
const join = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))

/** A platform with some of its functions replaced, which counts what it is asked. */
function platform (changes: Partial<Subtle> = {}): Subtle & { verified: number, imported: number } {
  const it = {
    verified: 0,
    imported: 0,
    importKey: (...args: Parameters<Subtle['importKey']>) => { it.imported++; return (changes.importKey ?? subtle.importKey.bind(subtle))(...args) },
    exportKey: changes.exportKey ?? subtle.exportKey.bind(subtle),
    sign: changes.sign ?? subtle.sign.bind(subtle),
    verify: (...args: Parameters<Subtle['verify']>) => { it.verified++; return (changes.verify ?? subtle.verify.bind(subtle))(...args) }
  }
  return it
}

const both = async () => ({ platform: await loadEd25519(subtle), plain: await loadEd25519(null) })

t.test('KY-26 the ten crafted inputs have the same answers by the platform and in plain', async (t) => {
  const jobs = crafted.map(({ author, message, signature }) => ({ author, id: message, signature }))
  for (const [name, { verify }] of Object.entries(await both())) t.same(await verify(jobs), crafted.map(({ valid }) => valid), name)
  t.same(await Promise.all(Object.values(await both()).map(({ verify }) => verify([]))), [[], []])
})

t.test('KY-27 signatures and keys are those of RFC 8032, by the platform and in plain', async (t) => {
  const { platform, plain } = await both()
  for (const { seed_hex: seed, public_key_hex: key } of published.derived.ed25519_keys) {
    const [a, b, c] = [await platform.signer(hex(seed)), await plain.signer(hex(seed)), createSigner(hex(seed))]
    t.same([a.publicKey, b.publicKey], [hex(key), hex(key)])
    for (const message of [new Uint8Array(), seedOf(1), new Uint8Array(1000).fill(7)]) {
      const expected = c.sign(message)
      t.same([await a.sign(message), await a.sign(message), await b.sign(message), await b.sign(message)], [expected, expected, expected, expected])
    }
  }
  for (const { signer } of [platform, plain]) for (const length of [0, 31, 33]) await t.rejects(signer(new Uint8Array(length)), RangeError)
})

/** Park and Miller's generator: the same inputs for the same seed. */
function random (seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = state * 48_271 % 2_147_483_647
    return state % below
  }
}

/** What an adversary may do to an honest signature. The message is chosen again and again, so that some equations hold by chance. */
function forged (next: (below: number) => number): SignatureJob {
  const seed = Uint8Array.from({ length: 32 }, () => next(256))
  const id = Uint8Array.from({ length: 32 }, () => next(256))
  const { scalar, pointBytes } = ed25519.utils.getExtendedPublicKey(seed)
  const torsion = Point.fromHex(ED25519_TORSION_SUBGROUP[next(8)])
  const tornKey = Point.fromBytes(pointBytes).add(torsion).toBytes()
  const author = [pointBytes, tornKey, little(P + BigInt(next(19))), hex(ED25519_TORSION_SUBGROUP[next(8)])][next(6) % 4]
  const nonce = BigInt(1 + next(1e9))
  const point = [Point.BASE.multiply(nonce), Point.BASE.multiply(nonce).add(torsion), torsion][next(4) % 3]
  const r = next(9) === 0 ? little(P + BigInt(next(19))) : point.toBytes()
  const challenge = big(createHash('sha512').update(join(r, author, id)).digest()) % L
  const s = ((point === torsion ? 0n : nonce) + challenge * scalar) % L
  const signature = join(r, little([s, s + L, s, (s + 1n) % L, s][next(5)]))
  if (next(8) === 0) signature[next(64)] ^= 1 << next(8)
  if (next(8) === 0) id[next(32)] ^= 1 << next(8)
  return { author, id, signature }
}

t.test('KY-28 platform, plain arithmetic and server answer alike on whatever is made up', async (t) => {
  const next = random(Number(process.env.SEED ?? SEED))
  t.comment(`SEED=${process.env.SEED ?? SEED}`)
  const jobs = Array.from({ length: 600 }, () => forged(next))
  const expected = jobs.map(({ author, id, signature }) => verifyOne(author, id, signature))
  for (const [name, { verify }] of Object.entries(await both())) {
    const wrong = (await verify(jobs)).flatMap((valid, i) => valid === expected[i] ? [] : [jobs[i]])
    t.same(wrong, [], name)
  }
  t.ok(expected.filter(Boolean).length > 50 && expected.filter((valid) => !valid).length > 200)
})

t.test('KY-29 key, R and S at the edges of their ranges are refused before the platform sees them', async (t) => {
  const it = platform()
  const { verify } = await loadEd25519(it)
  const { publicKey, sign } = createSigner(seedOf(1))
  const id = seedOf(2)
  const good = sign(id)
  const before = it.verified
  const bad = [
    ...[P, P + 1n, P + 18n, P - 1n, 1n, 0n, 2n ** 255n - 1n, 2n ** 255n, 2n ** 255n + 1n, 2n ** 255n + P].flatMap((y) => [
      { author: little(y), id, signature: good },
      { author: publicKey, id, signature: join(little(y), good.slice(32)) }
    ]),
    ...ED25519_TORSION_SUBGROUP.flatMap((point) => [
      { author: hex(point), id, signature: good },
      { author: publicKey, id, signature: join(hex(point), good.slice(32)) }
    ]),
    ...[L, L + 1n, 2n ** 253n, 2n ** 256n - 1n].map((s) => ({ author: publicKey, id, signature: join(good.slice(0, 32), little(s)) })),
    { author: publicKey.slice(1), id, signature: good },
    { author: publicKey, id, signature: good.slice(1) },
    { author: publicKey, id, signature: join(good, good.slice(63)) }
  ]
  t.same((await verify(bad)).filter(Boolean), [])
  t.equal(it.verified, before)
  t.same(await verify([{ author: publicKey, id, signature: join(good.slice(0, 32), little(L - 1n)) }, { author: publicKey, id, signature: good }]), [false, true])
  t.equal(it.verified, before + 2)
})

t.test('KY-30 a platform that lacks Ed25519, or answers a probe wrongly, is not used for what it gets wrong', async (t) => {
  const lacking = platform({ importKey: async () => { throw new DOMException('Unrecognized algorithm name', 'NotSupportedError') } })
  const yes = platform({ verify: async () => true })
  const no = platform({ verify: async () => false })
  const cofactored = platform({ verify: async (_, key, signature, message) => await subtle.verify('Ed25519', key, signature, message) || !signature.every((byte, i) => byte === crafted[0].signature[i]) })
  const hedged = platform({ sign: async () => new Uint8Array(64).buffer })
  const strange = platform({ exportKey: async () => ({}) })
  const { publicKey, sign } = createSigner(seedOf(1))
  const jobs = [{ author: publicKey, id: seedOf(2), signature: sign(seedOf(2)) }, { author: publicKey, id: seedOf(3), signature: sign(seedOf(2)) }]
  for (const it of [lacking, yes, no, cofactored]) {
    const { verify, signer } = await loadEd25519(it)
    const before = it.verified
    t.same(await verify(jobs), [true, false])
    t.equal(it.verified, before)
    t.same((await signer(seedOf(1))).publicKey, publicKey)
  }
  for (const it of [hedged, strange]) {
    const { verify, signer } = await loadEd25519(it)
    const before = it.verified
    t.same(await (await signer(seedOf(1))).sign(seedOf(2)), sign(seedOf(2)))
    t.same(await verify(jobs), [true, false])
    t.equal(it.verified, before + 2, 'it still verifies')
  }
})

t.test('KY-46 without WebCrypto, as on pages that are not on https, it works all the same', async (t) => {
  const { publicKey, sign } = createSigner(seedOf(1))
  const jobs = [{ author: publicKey, id: seedOf(2), signature: sign(seedOf(2)) }]
  t.same(await (await loadEd25519()).verify(jobs), [true])
  const before = Object.getOwnPropertyDescriptor(globalThis, 'crypto') as PropertyDescriptor
  for (const value of [undefined, {}]) {
    Object.defineProperty(globalThis, 'crypto', { configurable: true, value })
    const { verify, signer } = await loadEd25519()
    Object.defineProperty(globalThis, 'crypto', before)
    t.same([await verify(jobs), await (await signer(seedOf(1))).sign(seedOf(2))], [[true], jobs[0].signature])
  }
})

t.test('KY-31 what makes the platform throw is answered in plain', async (t) => {
  let broken = false
  const it = platform({ importKey: async (...args) => { if (broken) throw new Error('DataError'); return await subtle.importKey(...args) } })
  const { verify } = await loadEd25519(it)
  broken = true
  const { publicKey, sign } = createSigner(seedOf(4))
  const off = seedOf(2)
  t.same(await verify([
    { author: publicKey, id: seedOf(2), signature: sign(seedOf(2)) },
    { author: publicKey, id: seedOf(3), signature: sign(seedOf(2)) },
    { author: off, id: seedOf(2), signature: sign(seedOf(2)) }
  ]), [true, false, false])
})

t.test('KY-32 at most 64 verifications are in flight, and a key is imported once', async (t) => {
  let flying = 0
  let most = 0
  const it = platform({
    async verify (...args) {
      most = Math.max(most, ++flying)
      try {
        return await subtle.verify(...args)
      } finally {
        flying--
      }
    }
  })
  const { verify } = await loadEd25519(it)
  const { publicKey, sign } = createSigner(seedOf(5))
  const before = it.imported
  const jobs = Array.from({ length: 200 }, (_, i) => ({ author: publicKey, id: seedOf(i), signature: sign(seedOf(i)) }))
  t.same(await verify(jobs), jobs.map(() => true))
  t.equal(most, 64)
  t.equal(it.imported, before + 1)
})

t.test('KY-33 plain verification lets others run in between', async (t) => {
  const { publicKey, sign } = createSigner(seedOf(6))
  const jobs = Array.from({ length: 20 }, (_, i) => ({ author: publicKey, id: seedOf(i), signature: sign(seedOf(i)) }))
  let ran = 0
  const count = setInterval(() => { ran++ }, 0)
  t.same(await plainEd25519().verify(jobs), jobs.map(() => true))
  clearInterval(count)
  t.ok(ran >= 2, `${ran} times`)
})

t.test('KY-34 the memory of keys is bounded and keeps what is in use', async (t) => {
  const made: number[] = []
  const recent = createRecent(8, ([name]) => { made.push(name); return { name } })
  for (let i = 0; i < 100; i++) {
    t.equal(recent.get(Uint8Array.of(i)).name, i)
    recent.get(Uint8Array.of(200))
  }
  t.equal(made.filter((name) => name === 200).length, 1, 'in use all the time')
  t.equal(made.length, 101)
  recent.get(Uint8Array.of(0))
  t.equal(made.length, 102, 'forgotten long ago')
})
