import { randomBytes } from 'node:crypto'
import { unlinkSync } from 'node:fs'
import { appendFile, mkdir, readFile, readdir, rm, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { NodalmergeError } from '../../lib/errors.js'
import { blobEntry, blobLayout } from '../../lib/store/blob-layout.js'
import { createBlobReader } from '../../lib/store/blob-reader.js'
import { createVerdicts } from '../../lib/store/blob-verdicts.js'
import { createBlobWriter } from '../../lib/store/blob-writer.js'
import { fsBlobs, type FsBlobsOptions } from '../../lib/store/fs.js'
import { memoryBlobs } from '../../lib/store/memory-blobs.js'
import { requireBlobHash, type BlobStore } from '../../lib/store/blob-store.js'
import { blobStoreSuite } from '../../lib/testing/blob-store-suite.js'
import { faultyBlobs, type BlobCall } from '../../lib/testing/faulty-blob-store.js'
import { bytesOf, folder, generate, hashOf, once, place, vectors, type Payload } from './blob-fixtures.js'

interface Vectors {
  payloads: Record<string, Payload>
  layout: {
    blob_root_relative: { hash: string, identity: string, zstd: string, tombstone: string }[]
    store_files: { migrated_marker: string, quarantine_dir: string }[]
    prefer_when_both_exist: string
  }
  entry_names: { name: string, kind: string }[]
}

const data = await vectors<Vectors>()
const PLENTY = { maxBytes: 64 * 1024 * 1024 }
const big = randomBytes(1_000_000)
const bigHash = await hashOf(big)
const small = Buffer.from('a small blob')
const smallHash = await hashOf(small)

interface Teardown { teardown (fn: () => Promise<void>): void }

async function opened (test: Teardown, options: Partial<FsBlobsOptions> = {}): Promise<{ store: BlobStore, root: string, warnings: string[], pool: (name?: string) => string }> {
  const warnings: string[] = []
  const root = options.root ?? await folder(test)
  const store = fsBlobs({ log: { warn: (_, message) => { warnings.push(message) } }, ...options, root })
  await store.open()
  test.teardown(() => store.close())
  return { store, root, warnings, pool: (name = '') => join(root, 'blake3', name) }
}

async function listed (store: BlobStore): Promise<string[]> {
  const all: string[] = []
  for await (const hash of store.list()) all.push(hash)
  return all
}

const leftovers = async (pool: string): Promise<string[]> => (await readdir(pool)).filter((name) => name.endsWith('.tmp'))

t.test('the conformance suite', async (t) => {
  const roots = new Map<BlobStore, string>()
  await t.test('fs', async (t) => {
    const on = (root: string): BlobStore => {
      const store = fsBlobs({ root })
      roots.set(store, root)
      return store
    }
    const rootOf = (store: BlobStore): string => roots.get(store) ?? ''
    blobStoreSuite({
      test: (title, fn) => { t.test(title, fn) },
      create: async () => on(await folder(t)),
      reopen: async (closed) => on(rootOf(closed)),
      corrupt: async (store, hash) => await appendFile(join(rootOf(store), 'blake3', hash), 'x')
    })
  })
  await t.test('memory', async (t) => {
    blobStoreSuite({ test: (title, fn) => { t.test(title, fn) }, create: async () => memoryBlobs() })
  })
  await t.test('a store that presigns', async (t) => {
    const presigning = (): BlobStore => ({
      ...memoryBlobs(),
      manifest: { name: 'presigning', durable: false, presign: true },
      async presign (op, hash) {
        requireBlobHash(hash)
        return op === 'get' ? null : { url: `https://bucket.example/${hash}`, expiresAt: new Date(Date.now() + 900_000) }
      }
    })
    blobStoreSuite({ test: (title, fn) => { t.test(title, fn) }, create: async () => presigning() })
  })
  await t.test('a faulty store that was told nothing', async (t) => {
    blobStoreSuite({ test: (title, fn) => { t.test(title, fn) }, create: async () => faultyBlobs(memoryBlobs()) })
  })
})

t.test('BS-17 the layout on disk is the one of the original servers', async (t) => {
  for (const { hash, identity, zstd, tombstone } of data.layout.blob_root_relative) {
    const layout = blobLayout('/r')
    t.equal(layout.path(hash, 'identity'), join('/r', identity))
    t.equal(layout.path(hash, 'zstd'), join('/r', zstd))
    t.equal(layout.tombstone(hash), join('/r', tombstone))
  }
  const [files] = data.layout.store_files
  t.equal(blobLayout('<root>/blobs').marker, files.migrated_marker)
  t.equal(blobLayout('<root>/blobs').quarantine, files.quarantine_dir)
  const { store, pool } = await opened(t)
  for (const { generator, length, blake3 } of Object.values(data.payloads)) {
    const bytes = generate(generator)
    t.equal(bytes.length, length)
    t.equal(await store.put(blake3, once(bytes), PLENTY), 'created')
    t.same(await readFile(pool(blake3)), bytes)
  }
})

t.test('BS-18 names below blake3 are blobs, temporary files or foreign', async (t) => {
  for (const { name, kind } of data.entry_names) t.equal(blobEntry(name).kind, kind, JSON.stringify(name))
  const hash = data.layout.blob_root_relative[0].hash
  t.same(blobEntry(`.${hash}.${'0'.repeat(32)}.tmp`), { kind: 'temp', hash })
  t.same(blobEntry(`${hash}.zst.tmp`), { kind: 'temp', hash })
  t.equal(blobEntry(blobLayout('/r').temp(hash).slice('/r/blake3/'.length)).kind, 'temp')
})

t.test('BS-19 foreign entries are neither read nor listed nor removed, and are no error', async (t) => {
  const { store, root, pool } = await opened(t)
  const foreign = [`${bigHash.toUpperCase()}`, `${bigHash}.blob`, 'README.txt', `${bigHash}.gz`]
  for (const name of foreign) await place(pool(name), big)
  await mkdir(pool(smallHash))
  t.same(await listed(store), [])
  t.equal(await store.get(bigHash), null)
  t.equal(await store.stat(smallHash), null, 'a folder is no blob')
  await store.put(bigHash, once(big), PLENTY)
  await store.delete(bigHash)
  const again = await opened(t, { root })
  t.same(await listed(again.store), [])
  t.same((await readdir(pool())).sort(), [...foreign, smallHash].sort())
})

t.test('BS-20 verification happens once for each version of a file', async (t) => {
  const { store, root, warnings, pool } = await opened(t)
  for (const [hash, bytes] of [[bigHash, big], [smallHash, small]] as const) {
    await place(pool(hash), bytes)
    t.same(await bytesOf(await store.get(hash)), bytes)
    const { atime, mtime } = await stat(pool(hash))
    await writeFile(pool(hash), Buffer.from(bytes).fill(0, 5, 6))
    await utimes(pool(hash), atime, new Date(mtime.getTime() + 5000))
    const content = await store.get(hash)
    if (content !== null) await t.rejects(bytesOf(content), { code: 'store.failed' })
    t.equal(await store.get(hash), null, 'a changed file is looked at anew')
    t.equal(await store.stat(hash), null, 'and once known to be bad it is missing')
  }
  t.equal(warnings.length, 2, 'one warning for each')
  const fresh = await opened(t, { root })
  t.same(await fresh.store.stat(smallHash), { size: small.length }, 'existence alone decides before anyone has read it')
})

t.test('BS-21 a large file is verified while it streams; corrupt content never arrives whole', async (t) => {
  const { store, pool } = await opened(t)
  await place(pool(bigHash), Buffer.concat([big.subarray(0, -1), Buffer.of(big[big.length - 1] ^ 1)]))
  const content = await store.get(bigHash)
  let size = 0
  await t.rejects(async () => { for await (const chunk of content?.stream ?? []) size += chunk.length }, { code: 'store.failed' })
  t.ok(size > 0 && size < big.length, `${size} of ${big.length} bytes came`)
  t.equal(await store.get(bigHash), null)
  t.equal(await store.put(bigHash, once(big), PLENTY), 'healed')
  t.same(await bytesOf(await store.get(bigHash)), big)
})

t.test('BS-22 a range is never taken from content that was not verified', async (t) => {
  const { store, pool } = await opened(t)
  await place(pool(bigHash), big.subarray(0, -1))
  t.equal(await store.get(bigHash, { first: 0, last: 9 }), null)
  await place(pool(bigHash), big)
  const [one, two] = await Promise.all([store.get(bigHash, { first: 0, last: 9 }), store.get(bigHash, { first: 10, last: 19 })])
  t.same(Buffer.concat([await bytesOf(one), await bytesOf(two)]), big.subarray(0, 20))
})

t.test('BS-23 a file that is replaced or cut between being looked at and being read is an error, not content', async (t) => {
  const { store, pool } = await opened(t)
  await store.put(bigHash, once(big), PLENTY)
  const before = await store.get(bigHash)
  await writeFile(pool(bigHash), small)
  await t.rejects(bytesOf(before), { code: 'store.failed' })
  await store.put(bigHash, once(big), PLENTY)
  const same = await store.get(bigHash)
  await writeFile(pool(bigHash), Buffer.alloc(big.length))
  // The clock of a file system may stand still for some milliseconds.
  await utimes(pool(bigHash), 1, 1)
  await t.rejects(bytesOf(same), { code: 'store.failed' }, 'also by one of the same size')
  await store.put(bigHash, once(big), PLENTY)
  const during = await store.get(bigHash)
  await t.rejects(async () => {
    for await (const chunk of during?.stream ?? []) {
      t.ok(chunk.length > 0)
      await truncate(pool(bigHash), chunk.length)
    }
  }, { code: 'store.failed' })
  const gone = await store.put(bigHash, once(big), PLENTY).then(() => store.get(bigHash))
  await store.delete(bigHash)
  await t.rejects(bytesOf(gone), { code: 'store.failed' })
})

t.test('BS-24 what the disk cannot answer is store.failed, what it cannot write is reject.blob_write_failed', async (t) => {
  const { store, pool } = await opened(t)
  await symlink(pool(smallHash), pool(smallHash))
  await t.rejects(store.stat(smallHash), { code: 'store.failed' }, 'a link to itself cannot be resolved')
  await t.rejects(store.put(smallHash, once(small), PLENTY), { code: 'store.failed' })
  await mkdir(join(pool(bigHash), 'full'), { recursive: true })
  await t.rejects(store.put(bigHash, once(big), PLENTY), { code: 'reject.blob_write_failed' }, 'a folder is in the way')
  t.same(await leftovers(pool()), [])
  await rm(pool(), { recursive: true })
  await t.rejects(store.put(bigHash, once(big), PLENTY), { code: 'reject.blob_write_failed' })
  await t.rejects(listed(store), { code: 'store.failed' })
  await t.rejects(store.check(), { code: 'store.failed' })
  await writeFile(pool(), 'a file')
  await t.rejects(store.stat(bigHash), { code: 'store.failed' })
  await t.rejects(store.delete(bigHash), { code: 'store.failed' })
  await t.rejects(store.open(), { code: 'store.failed' })
})

t.test('BS-35 a disk that fails while a blob is verified or published has said nothing about the blob', async (t) => {
  const { root, pool } = await opened(t)
  const layout = blobLayout(root)
  const parts = { layout, maxInflate: 1000, log: { warn: () => t.fail('nothing is known to be corrupt') } }
  await place(pool(smallHash), small)
  const vanishing = { ...createVerdicts(10), get: () => { unlinkSync(pool(smallHash)); return null } }
  const reader = createBlobReader({ ...parts, verdicts: vanishing })
  await t.rejects(reader.get(smallHash), { code: 'store.failed' })
  const conditions = ['absent'] as const
  let asked = 0
  const failing = { ...reader, condition: async () => conditions[asked++] ?? Promise.reject(new NodalmergeError('store.failed')) }
  const put = createBlobWriter({ ...parts, verdicts: createVerdicts(10), reader: failing })
  await t.rejects(put(smallHash, once(small), PLENTY), { code: 'store.failed' })
  t.same(await readdir(pool()), [])
})

t.test('BS-25 a temporary file that cannot be removed is reported and does not hide the reason', async (t) => {
  const { store, pool, warnings } = await opened(t)
  async function * sabotage (): AsyncGenerator<Uint8Array> {
    yield small
    const [temp] = await leftovers(pool())
    await rm(pool(temp))
    await mkdir(pool(temp))
    throw new Error('cut off')
  }
  await t.rejects(store.put(smallHash, sabotage(), PLENTY), { message: 'cut off' })
  t.same(warnings, ['a temporary file could not be removed'])
})

t.test('BS-26 temporary files nobody finishes are removed at the start and later on, those in use are not', async (t) => {
  const { store, root, pool, warnings } = await opened(t, { sweepInterval: 5 })
  const layout = blobLayout(root)
  const age = async (path: string, hours: number): Promise<string> => {
    await place(path, 'half')
    await utimes(path, new Date(), new Date(Date.now() - hours * 3_600_000))
    return path
  }
  const kept = await age(pool('notes.tmp'), 1000)
  const old = await age(layout.temp(bigHash), 25)
  const recent = await age(layout.temp(bigHash), 2)
  while (await stat(old).then(() => true, () => false)) await sleep(5)
  t.ok(await stat(recent))
  await store.close()
  const young = await age(pool(`${bigHash}.zst.tmp`), 0.5)
  await (await opened(t, { root })).store.close()
  t.same((await leftovers(pool())).sort(), [kept, young].map((path) => basename(path)).sort())
  const sweeping = await opened(t, { root, sweepInterval: 5 })
  await rm(pool(), { recursive: true })
  while (sweeping.warnings.length === 0) await sleep(5)
  t.equal(sweeping.warnings[0], 'temporary files could not be searched')
  t.same(warnings, [])
})

t.test('BS-27 putting a blob again takes back a mark for removal', async (t) => {
  const { store, root } = await opened(t)
  const mark = blobLayout(root).tombstone(smallHash)
  for (const answer of ['created', 'exists']) {
    await place(mark, '')
    t.equal(await store.put(smallHash, once(small), PLENTY), answer)
    await t.rejects(stat(mark), { code: 'ENOENT' })
  }
})

t.test('BS-28 a blob that is removed while it is put again is not confirmed', async (t) => {
  const { store } = await opened(t)
  for (const each of [store, memoryBlobs()]) {
    await each.put(smallHash, once(small), PLENTY)
    async function * racing (): AsyncGenerator<Uint8Array> {
      yield small
      await each.delete(smallHash)
    }
    await t.rejects(each.put(smallHash, racing(), PLENTY), { code: 'reject.blob_unavailable' })
    t.equal(await each.put(smallHash, once(small), PLENTY), 'created')
  }
})

t.test('BS-29 large bodies leave the event loop its turns, however they arrive', async (t) => {
  const { store } = await opened(t)
  const bytes = Buffer.alloc(32 * 1024 * 1024, 7)
  const hash = await hashOf(bytes)
  let turns = 0
  const count = setInterval(() => { turns++ }, 1)
  t.equal(await store.put(hash, once(bytes), PLENTY), 'created')
  t.ok(turns >= 8, `${turns} turns while writing`)
  turns = 0
  t.equal(await store.put(hash, once(bytes), PLENTY), 'exists')
  t.ok(turns >= 8, `${turns} turns while hashing`)
  clearInterval(count)
})

t.test('BS-30 options that cannot work are refused when the store is made', async (t) => {
  // @ts-expect-error the type forbids it, plain JavaScript does not
  t.throws(() => fsBlobs({ root: 5 }), TypeError)
  t.throws(() => fsBlobs({ root: '' }), RangeError)
  t.throws(() => memoryBlobs({ maxBytes: 0 }), RangeError)
  t.throws(() => memoryBlobs({ maxBytes: 1.5 }), RangeError)
})

t.test('BS-34 without a log a store keeps quiet and does the same', async (t) => {
  const root = await folder(t)
  const store = fsBlobs({ root })
  await store.open()
  await place(join(root, 'blake3', smallHash), 'rotten')
  t.equal(await store.get(smallHash), null)
  await store.close()
})

t.test('BS-31 the memory store keeps to its bound, uploads in flight included, and says when it is full', async (t) => {
  const store = memoryBlobs({ maxBytes: 1000 })
  const [a, b] = [Buffer.alloc(600, 1), Buffer.alloc(600, 2)]
  async function * meanwhile (): AsyncGenerator<Uint8Array> {
    yield a.subarray(0, 500)
    await t.rejects(store.put(await hashOf(b), once(b.subarray(0, 400), b.subarray(400)), PLENTY), { code: 'reject.blob_unavailable', statusCode: 503 })
    yield a.subarray(500)
  }
  t.equal(await store.put(await hashOf(a), meanwhile(), PLENTY), 'created')
  await t.rejects(store.put(await hashOf(b), once(b), PLENTY), { code: 'reject.blob_unavailable' })
  await store.delete(await hashOf(a))
  t.equal(await store.put(await hashOf(b), once(b), PLENTY), 'created', 'what failed or was deleted takes no room')
  const rest = Buffer.alloc(400, 3)
  t.equal(await store.put(await hashOf(rest), once(rest), PLENTY), 'created', 'and it is full to the last byte')
  t.equal(await store.put(await hashOf(b), once(b), PLENTY), 'exists', 'what is there needs no room')
  b.fill(0)
  t.equal((await bytesOf(await store.get(await hashOf(Buffer.alloc(600, 2)))))[0], 2, 'the bytes are a copy')
})

t.test('BS-32 the memory of verdicts is bounded and drops the longest unused', async (t) => {
  const verdicts = createVerdicts(2)
  const stamp = { size: 1, mtime: 1n, inode: 1n }
  for (const name of ['a', 'b']) verdicts.set(name, stamp, { sound: true, size: 1 })
  t.ok(verdicts.get('a', stamp))
  verdicts.set('c', stamp, { sound: false, size: 0 })
  t.equal(verdicts.get('b', stamp), null)
  t.ok(verdicts.get('a', stamp))
  for (const other of [{ ...stamp, size: 2 }, { ...stamp, mtime: 2n }, { ...stamp, inode: 2n }]) t.equal(verdicts.get('a', other), null)
})

t.test('BS-33 the faulty store fails, waits and breaks off on command', async (t) => {
  const store = faultyBlobs(memoryBlobs())
  await store.put(bigHash, once(big), PLENTY)
  const calls: [BlobCall, () => Promise<unknown>][] = [
    ['open', () => store.open()], ['close', () => store.close()], ['check', () => store.check()], ['stat', () => store.stat(bigHash)],
    ['get', () => store.get(bigHash)], ['encoded', () => store.encoded(bigHash)], ['put', () => store.put(bigHash, once(big), PLENTY)],
    ['delete', () => store.delete(smallHash)], ['list', () => listed(store)],
    ['presign', () => store.presign('get', bigHash, { room: 'r', size: 0 })], ['verifyUploaded', () => store.verifyUploaded(bigHash)]
  ]
  for (const [call, run] of calls) {
    const before = store.calls.get(call) ?? 0
    store.fail(call)
    await t.rejects(run(), { code: 'store.failed' }, call)
    store.fail(call, new NodalmergeError('reject.blob_unavailable'), 1)
    await t.rejects(run(), { code: 'reject.blob_unavailable' })
    await t.resolves(run())
    store.heal()
    const release = store.hold(call)
    const waiting = run()
    t.equal(await Promise.race([waiting, sleep(2, 'held')]), 'held')
    release()
    await waiting
    t.equal(store.calls.get(call), before + 4)
  }
  store.cut(100_000)
  await t.rejects(store.get(bigHash).then(bytesOf), { code: 'store.failed' })
  store.heal()
  t.same(await bytesOf(await store.get(bigHash)), big)
})
