import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createBLAKE3 } from 'hash-wasm'
import type { Code } from '../errors.js'
import type { BlobContent, BlobStore } from '../store/blob-store.js'

/** What the suite needs to know of an adapter and of the test runner; any runner with `test(title, fn)` will do. */
export interface BlobStoreSuite {
  /** Registers one test. `fn` rejects when the store breaks the rule in the title. */
  test (title: string, fn: () => Promise<void>): void
  /** A new, empty store that is not open yet. The suite opens it, and closes it at the end of the test. */
  create (): Promise<BlobStore>
  /** Another store, not open yet, on the data of one that was closed. Required when `manifest.durable` is true. */
  reopen? (closed: BlobStore): Promise<BlobStore>
  /** Damages the stored bytes of a blob behind the store's back. Leave it out where that is impossible. */
  corrupt? (store: BlobStore, hash: string): Promise<void>
}

interface Sample { hash: string, bytes: Uint8Array }
type Rule = (store: BlobStore, suite: BlobStoreSuite) => Promise<void>

const ABSENT = 'ab'.repeat(32)
const PLENTY = { maxBytes: 64 * 1024 * 1024 }
/** Around the sizes at which stores change their ways: empty, one buffer, several. */
const SIZES = [0, 1, 65_535, 65_536, 65_537, 1_300_000]

async function sample (size: number): Promise<Sample> {
  const bytes = Uint8Array.from(randomBytes(size))
  return { bytes, hash: (await createBLAKE3()).init().update(bytes).digest('hex') }
}

async function * body (bytes: Uint8Array, step = 50_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step)
}

async function bytesOf (content: BlobContent | null): Promise<Uint8Array> {
  ok(content !== null, 'the blob is there')
  const parts: Uint8Array[] = []
  for await (const chunk of content.stream) parts.push(chunk)
  return Uint8Array.from(Buffer.concat(parts))
}

async function hashes (store: BlobStore): Promise<string[]> {
  const all: string[] = []
  for await (const hash of store.list()) all.push(hash)
  return all.sort()
}

const coded = (code: Code) => ({ code })

async function isAbsent (store: BlobStore, hash: string): Promise<void> {
  equal(await store.stat(hash), null)
  equal(await store.get(hash), null)
  ok(!(await hashes(store)).includes(hash))
}

const rules: Record<string, Rule> = {
  async 'BS-1 an unknown blob is absent, which is not an error' (store) {
    await isAbsent(store, ABSENT)
    equal(await store.encoded(ABSENT), null)
    equal(await store.get(ABSENT, { first: 0, last: 1 }), null)
    equal(await store.delete(ABSENT), false)
    deepEqual(await hashes(store), [])
    await store.check()
  },

  async 'BS-2 what was put comes back, whatever its size' (store) {
    const samples = await Promise.all(SIZES.map(sample))
    for (const { hash, bytes } of samples) {
      equal(await store.put(hash, body(bytes), PLENTY), 'created')
      deepEqual(await store.stat(hash), { size: bytes.length })
      const content = await store.get(hash)
      equal(content?.size, bytes.length)
      deepEqual(await bytesOf(content), bytes)
    }
    deepEqual(await hashes(store), samples.map(({ hash }) => hash).sort())
  },

  async 'BS-3 putting a stored blob again answers exists, after its bytes were checked too' (store) {
    const { hash, bytes } = await sample(1000)
    await store.put(hash, body(bytes), PLENTY)
    equal(await store.put(hash, body(bytes), PLENTY), 'exists')
    await rejects(store.put(hash, body(bytes.subarray(1)), PLENTY), coded('reject.blob_hash_mismatch'))
    deepEqual(await bytesOf(await store.get(hash)), bytes)
  },

  async 'BS-4 bytes with another hash are refused and nothing of them stays' (store) {
    const { bytes } = await sample(100_000)
    await rejects(store.put(ABSENT, body(bytes), PLENTY), coded('reject.blob_hash_mismatch'))
    await isAbsent(store, ABSENT)
  },

  async 'BS-5 the limit is counted while bytes arrive; a blob of exactly that size passes' (store) {
    const { hash, bytes } = await sample(300_000)
    let read = 0
    async function * endless (): AsyncGenerator<Uint8Array> {
      for (;;) {
        read += 100_000
        yield bytes.subarray(0, 100_000)
      }
    }
    await rejects(store.put(hash, endless(), { maxBytes: 150_000 }), coded('reject.blob_too_large'))
    equal(read, 200_000, 'the rest is not read')
    await isAbsent(store, hash)
    equal(await store.put(hash, body(bytes), { maxBytes: bytes.length }), 'created')
    await rejects(store.put(hash, body(bytes), { maxBytes: bytes.length - 1 }), coded('reject.blob_too_large'))
  },

  async 'BS-6 a body that breaks off leaves nothing, and its error comes through' (store) {
    const { hash, bytes } = await sample(100_000)
    const broken = new Error('the other end is gone')
    async function * cut (): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 90_000)
      throw broken
    }
    await rejects(store.put(hash, cut(), PLENTY), broken)
    await isAbsent(store, hash)
    equal(await store.put(hash, body(bytes), PLENTY), 'created')
  },

  async 'BS-7 a name that is not 64 lower-case hex digits is refused by every method' (store) {
    for (const name of ['', 'abc', 'AB'.repeat(32), `${ABSENT}.zst`, `${ABSENT}\n`, '../'.repeat(21) + 'a']) {
      const invalid = coded('reject.blob_hash_invalid')
      await rejects(store.stat(name), invalid)
      await rejects(store.get(name), invalid)
      await rejects(store.encoded(name), invalid)
      await rejects(store.put(name, body(new Uint8Array(1)), PLENTY), invalid)
      await rejects(store.delete(name), invalid)
      await rejects(store.verifyUploaded(name), invalid)
      await rejects(store.presign('get', name, { room: 'r', size: 0 }), invalid)
    }
  },

  async 'BS-8 a range is inclusive, clamped to the content, and tells the size of the whole' (store) {
    const { hash, bytes } = await sample(200_000)
    await store.put(hash, body(bytes), PLENTY)
    for (const [first, last] of [[0, 0], [0, 199_999], [5, 9], [65_530, 131_080], [199_999, 199_999], [150_000, 900_000], [200_000, 200_001]]) {
      const content = await store.get(hash, { first, last })
      equal(content?.size, bytes.length)
      deepEqual(await bytesOf(content), bytes.subarray(first, last + 1))
    }
  },

  async 'BS-9 a blob is invisible until it is complete' (store) {
    const { hash, bytes } = await sample(100_000)
    async function * watched (): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 99_999)
      await isAbsent(store, hash)
      yield bytes.subarray(99_999)
      await isAbsent(store, hash)
    }
    equal(await store.put(hash, watched(), PLENTY), 'created')
    deepEqual(await bytesOf(await store.get(hash)), bytes)
  },

  async 'BS-10 of several writers of one blob exactly one created it' (store) {
    const { hash, bytes } = await sample(150_000)
    const answers = await Promise.all(Array.from({ length: 6 }, (_, i) => store.put(hash, body(bytes, 10_000 + i), PLENTY)))
    deepEqual(answers.sort(), ['created', 'exists', 'exists', 'exists', 'exists', 'exists'])
    deepEqual(await bytesOf(await store.get(hash)), bytes)
    deepEqual(await hashes(store), [hash])
  },

  async 'BS-11 what was deleted is gone and can be put again' (store) {
    const { hash, bytes } = await sample(10)
    await store.put(hash, body(bytes), PLENTY)
    equal(await store.delete(hash), true)
    await isAbsent(store, hash)
    equal(await store.delete(hash), false)
    equal(await store.put(hash, body(bytes), PLENTY), 'created')
    deepEqual(await bytesOf(await store.get(hash)), bytes)
  },

  async 'BS-12 a stream may be left at any point' (store) {
    const { hash, bytes } = await sample(500_000)
    await store.put(hash, body(bytes), PLENTY)
    await store.get(hash)
    const content = await store.get(hash)
    ok(content !== null)
    const chunks = content.stream[Symbol.asyncIterator]()
    equal((await chunks.next()).done, false)
    await chunks.return?.()
    deepEqual(await bytesOf(await store.get(hash)), bytes)
  },

  async 'BS-13 presigned URLs come only from a store whose manifest says so' (store) {
    for (const op of ['get', 'put'] as const) {
      const grant = await store.presign(op, ABSENT, { room: 'r', size: 1024 * 1024, contentType: 'text/plain' })
      if (!store.manifest.presign) equal(grant, null)
      else if (grant !== null) ok(URL.canParse(grant.url) && grant.expiresAt.getTime() > Date.now())
    }
  },

  async 'BS-14 an upload is confirmed only when the object is there' (store) {
    const { hash, bytes } = await sample(1234)
    equal((await store.verifyUploaded(hash)).ok, false)
    await store.put(hash, body(bytes), PLENTY)
    deepEqual(await store.verifyUploaded(hash), { ok: true, size: 1234 })
  },

  async 'BS-15 a durable store has kept what it acknowledged when it is opened again' (store, { reopen }) {
    if (!store.manifest.durable) return
    ok(reopen !== undefined, 'the suite of a durable store needs reopen')
    const samples = await Promise.all(SIZES.map(sample))
    for (const { hash, bytes } of samples) await store.put(hash, body(bytes), PLENTY)
    await store.close()
    const again = await reopen(store)
    await again.open()
    for (const { hash, bytes } of samples) deepEqual(await bytesOf(await again.get(hash)), bytes)
    deepEqual(await hashes(again), samples.map(({ hash }) => hash).sort())
    await again.close()
  },

  async 'BS-16 damaged content is never passed off as good, and putting the blob again heals it' (store, { corrupt }) {
    if (corrupt === undefined) return
    for (const size of [20, 1_300_000]) {
      const { hash, bytes } = await sample(size)
      await store.put(hash, body(bytes), PLENTY)
      await corrupt(store, hash)
      const content = await store.get(hash)
      if (content !== null) await rejects(bytesOf(content))
      equal(await store.get(hash), null)
      equal(await store.put(hash, body(bytes), PLENTY), 'healed')
      deepEqual(await bytesOf(await store.get(hash)), bytes)
    }
  }
}

/**
 * Registers the rules every blob store has to keep, one test each. Reads the manifest: durability and presigned URLs are asked of
 * those stores that claim them.
 */
export function blobStoreSuite (suite: BlobStoreSuite): void {
  for (const [title, rule] of Object.entries(rules)) {
    suite.test(title, async () => {
      const store = await suite.create()
      await store.open()
      try {
        await rule(store, suite)
      } finally {
        await store.close()
      }
    })
  }
}
