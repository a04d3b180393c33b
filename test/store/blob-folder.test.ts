import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { FrameError, inflate } from '../../lib/store/blob-frame.js'
import { blobLayout } from '../../lib/store/blob-layout.js'
import { migrateBlobs } from '../../lib/store/blob-migration.js'
import { fsBlobs } from '../../lib/store/fs.js'
import type { BlobStore } from '../../lib/store/blob-store.js'
import { bytesOf, folder, generate, hashOf, once, place, tree, vectors, type Payload } from './blob-fixtures.js'

interface Vectors {
  payloads: Record<string, Payload>
  zstd_frames: { id: string, frame_b64: string, named_hash: string, expect: 'ok' | 'missing' | 'ok-or-missing', payload?: string }[]
  published_zstd_fixture_digests: { plaintext_length: number, plaintext_blake3: string }[]
  legacy_v1: {
    room_dir_escaping: { room_id: string, dir: string }[]
    migration: { id: string, before: Record<string, string>, after: Record<string, string>, marker: boolean }[]
  }
}

const data = await vectors<Vectors>()
const PLENTY = { maxBytes: 64 * 1024 * 1024 }
const quiet = { warn () {} }

async function opened (t: { teardown (fn: () => Promise<void>): void }, files: Record<string, string | Uint8Array> = {}, maxInflate?: number): Promise<{ store: BlobStore, root: string }> {
  const root = await folder(t)
  for (const [name, bytes] of Object.entries(files)) await place(join(root, 'blake3', name), bytes)
  const store = fsBlobs(maxInflate === undefined ? { root } : { root, maxInflate })
  await store.open()
  t.teardown(() => store.close())
  return { store, root }
}

/** A frame without content size, window 128 KiB, of these blocks: raw bytes, or a byte repeated. */
function frameOf (...blocks: (Uint8Array | { byte: number, count: number })[]): Buffer {
  const parts: Uint8Array[] = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3])]
  blocks.forEach((block, i) => {
    const raw = block instanceof Uint8Array
    const word = (raw ? block.length : block.count) << 3 | (raw ? 0 : 2) | Number(i === blocks.length - 1)
    parts.push(Buffer.from([word & 255, word >> 8 & 255, word >> 16]), raw ? block : Buffer.of(block.byte))
  })
  return Buffer.concat(parts)
}

async function inflated (frame: AsyncIterable<Uint8Array>, maxBytes = 1e9): Promise<Buffer> {
  return await bytesOf({ size: 0, stream: inflate(frame, maxBytes) })
}

function chunked (bytes: Uint8Array, step: number): AsyncGenerator<Uint8Array> {
  return once(...Array.from({ length: Math.ceil(bytes.length / step) }, (_, i) => bytes.subarray(i * step, (i + 1) * step)))
}

t.test('BS-40 every published shape of a zstd frame is read, whatever its header says; bad ones are missing', async (t) => {
  for (const { id, frame_b64: frame, named_hash: hash, expect, payload } of data.zstd_frames) {
    const { store } = await opened(t, { [`${hash}.zst`]: Buffer.from(frame, 'base64') })
    t.same(await store.stat(hash), { size: null }, 'only decoding tells the length')
    const content = await store.get(hash)
    if (expect === 'ok') t.ok(content, id)
    if (expect === 'missing') t.equal(content, null, id)
    if (content === null) {
      t.equal(await store.stat(hash), null)
      t.equal(await store.encoded(hash), null)
    } else {
      const plain = generate(data.payloads[payload ?? ''].generator)
      t.same(await bytesOf(content), plain, id)
      t.equal(content.size, plain.length)
      t.same(await store.stat(hash), { size: plain.length }, 'which is then remembered')
      t.same(await bytesOf(await store.get(hash, { first: 2, last: 70 })), plain.subarray(2, 71))
    }
  }
  const empty = data.published_zstd_fixture_digests.find((fixture) => fixture.plaintext_length === 0)
  t.equal(empty?.plaintext_blake3, data.payloads.empty.blake3)
})

t.test('BS-41 the stored frame is handed out byte for byte, unverified, and only when it is the stored form', async (t) => {
  const [{ frame_b64: text, named_hash: hash }] = data.zstd_frames
  const frame = Buffer.from(text, 'base64')
  const { store, root } = await opened(t, { [`${hash}.zst`]: frame })
  const content = await store.encoded(hash)
  t.equal(content?.size, frame.length)
  t.same(await bytesOf(content), frame)
  t.same(await bytesOf(await store.get(hash)), generate(data.payloads.text_7600.generator))
  t.same(await bytesOf(await store.encoded(hash)), frame, 'also once it is known to be sound')
  await place(join(root, 'blake3', hash), generate(data.payloads.text_7600.generator))
  t.equal(await store.encoded(hash), null, 'where both exist the raw one is read')
})

t.test('BS-42 where both forms exist the raw one counts, and the other one serves when the raw one is corrupt', async (t) => {
  const [{ frame_b64: text, named_hash: hash }] = data.zstd_frames
  const plain = generate(data.payloads.text_7600.generator)
  const { store } = await opened(t, { [`${hash}.zst`]: Buffer.from(text, 'base64'), [hash]: plain })
  const listed: string[] = []
  for await (const each of store.list()) listed.push(each)
  t.same(listed, [hash])
  t.same(await store.stat(hash), { size: plain.length })
  t.equal(await store.put(hash, once(plain), PLENTY), 'exists')
  t.equal(await store.delete(hash), true)
  t.equal(await store.get(hash), null, 'both are gone')
  const rotten = await opened(t, { [`${hash}.zst`]: Buffer.from(text, 'base64'), [hash]: 'rotten' })
  t.same(await bytesOf(await rotten.store.get(hash)), plain)
  t.ok(await rotten.store.encoded(hash))
  const compressed = await opened(t, { [`${hash}.zst`]: Buffer.from(text, 'base64') })
  for await (const each of compressed.store.list()) t.equal(each, hash)
  t.equal(await compressed.store.put(hash, once(plain), PLENTY), 'exists')
  t.same(await readdir(join(compressed.root, 'blake3')), [`${hash}.zst`])
})

t.test('BS-43 a bad compressed copy is replaced by the raw one', async (t) => {
  const { generator, blake3: hash } = data.payloads.short
  const { store, root } = await opened(t, { [`${hash}.zst`]: 'no frame' })
  t.equal(await store.put(hash, once(generate(generator)), PLENTY), 'healed')
  t.same(await readdir(join(root, 'blake3')), [hash])
})

t.test('BS-44 a frame that would expand beyond the limit is corrupt, and no more than the limit is ever decoded', async (t) => {
  const block = { byte: 0, count: 128 * 1024 }
  const zeros = Buffer.alloc(8 * block.count)
  const hash = await hashOf(zeros)
  const bomb = frameOf(...Array.from({ length: 8 }, () => block))
  const fits = await opened(t, { [`${hash}.zst`]: bomb }, zeros.length)
  t.same(await bytesOf(await fits.store.get(hash)), zeros)
  const tooSmall = await opened(t, { [`${hash}.zst`]: bomb }, zeros.length - 1)
  t.equal(await tooSmall.store.get(hash), null)
  let size = 0
  await t.rejects(async () => { for await (const chunk of inflate(once(bomb), 3 * block.count)) size += chunk.length }, { name: 'FrameError' })
  t.equal(size, 3 * block.count)
})

t.test('BS-45 frames are decoded as they arrive, in pieces of any size, and can be left at any point', async (t) => {
  const noise = randomBytes(400_000)
  const blocks = [noise.subarray(0, 131_072), noise.subarray(131_072, 262_144), noise.subarray(262_144, 393_216), noise.subarray(393_216)]
  const frame = frameOf(...blocks)
  for (const step of [1000, 65_536, frame.length]) t.same(await inflated(chunked(frame, step)), noise)
  for (const step of [1, 2, 5]) t.same(await inflated(chunked(frameOf(noise.subarray(0, 300)), step)), noise.subarray(0, 300))
  let left = false
  async function * source (): AsyncGenerator<Uint8Array> {
    try { yield * chunked(frame, 1000) } finally { left = true }
  }
  for await (const chunk of inflate(source(), 1e9)) {
    t.equal(chunk.length, 131_072)
    if (chunk.length > 0) break
  }
  t.ok(left, 'the source is closed')
  const hash = await hashOf(noise)
  const { store } = await opened(t, { [`${hash}.zst`]: frame })
  for (const [first, last] of [[0, 0], [131_071, 131_072], [5, 399_999], [399_999, 500_000], [400_000, 400_001]]) {
    t.same(await bytesOf(await store.get(hash, { first, last })), noise.subarray(first, last + 1))
  }
  const plain: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => {
      const chunks = chunked(frame, 70_000)
      return { next: () => chunks.next() }
    }
  }
  t.same(await inflated(plain), noise, 'an iterator without return will do')
})

t.test('BS-46 headers with sizes of every width are read; dictionaries, huge windows and invalid blocks are not', async (t) => {
  const magic = [0x28, 0xb5, 0x2f, 0xfd]
  const raw = (length: number): Buffer => Buffer.concat([Buffer.from([(length << 3 | 1) & 255, length >> 5, 0]), Buffer.alloc(length, 9)])
  const good: [string, number[], number][] = [
    ['1 byte', [0x20, 200], 200], ['2 bytes', [0x60, 44, 0], 300], ['4 bytes', [0xa0, 44, 1, 0, 0], 300], ['8 bytes', [0xe0, 44, 1, 0, 0, 0, 0, 0, 0], 300],
    ['window and size', [0x40, 0x58, 44, 0], 300], ['window with mantissa', [0, 0x5b], 300]
  ]
  for (const [name, header, length] of good) {
    t.same(await inflated(once(Buffer.from([...magic, ...header]), raw(length))), Buffer.alloc(length, 9), name)
  }
  const huge = 'the window of the frame is too large'
  for (const header of [[0, 0xff], [0, 0x89], [0xe0, 0, 0, 0, 0, 0, 0, 0, 1], [0xa0, 1, 0, 0, 8]]) {
    await t.rejects(inflated(once(Buffer.from([...magic, ...header]))), { name: 'FrameError', message: huge }, 'refused before it is allocated')
  }
  await t.rejects(inflated(once(Buffer.from([...magic, 0, 0x88]))), { message: 'the frame is cut off' }, '128 MiB pass')
  const bad: [string, number[]][] = [
    ['dictionary', [0x01, 0x58, 7]], ['reserved bit', [0x08, 0x58]], ['block type 3', [0, 0x58, 7, 0, 0]], ['block above 128 KiB', [0, 0x58, 1, 0, 0x20]],
    ['block larger than the window', [0x20, 1, 17, 0, 0, 5, 5]], ['garbage in a compressed block', [0, 0x58, 0x55, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]
  ]
  for (const [name, bytes] of bad) await t.rejects(inflated(once(Buffer.from([...magic, ...bytes]))), { name: 'FrameError' }, name)
  await t.rejects(inflated(once(frameOf(Buffer.of(1)), Buffer.of(0))), { message: 'bytes follow the frame' })
})

t.test('BS-47 a frame that is cut or altered anywhere ends in FrameError or in bytes, never otherwise', async (t) => {
  const frame = Buffer.from(data.zstd_frames[2].frame_b64, 'base64')
  for (let length = 0; length < frame.length; length++) await t.rejects(inflated(once(frame.subarray(0, length))), { name: 'FrameError' })
  const altered = fc.tuple(fc.nat(frame.length - 1), fc.integer({ min: 1, max: 255 }), fc.integer({ min: 1, max: 60 }))
  await fc.assert(fc.asyncProperty(altered, async ([at, mask, step]) => {
    const bytes = Buffer.from(frame)
    bytes[at] ^= mask
    await inflated(chunked(bytes, step), 1e6).catch((error: unknown) => { if (!(error instanceof FrameError)) throw error })
  }), { numRuns: 400 })
})

t.test('BS-50 a folder of layout v1 is brought over as published', async (t) => {
  for (const { id, before, after, marker } of data.legacy_v1.migration) {
    const root = await folder(t)
    await mkdir(join(root, 'blobs'))
    for (const [name, text] of Object.entries(before)) {
      if (name.endsWith('/')) await mkdir(join(root, name), { recursive: true })
      else await place(join(root, name), text)
    }
    const store = fsBlobs({ root: join(root, 'blobs') })
    await store.open()
    await store.close()
    const found = await tree(root)
    t.equal('blobs/.layout-v2' in found, marker, `${id}: marker`)
    delete found['blobs/.layout-v2']
    delete found['blobs/blake3/']
    const { 'blobs/.layout-v2': _, ...expected } = after
    t.same(found, expected, id)
  }
})

t.test('BS-51 every folder an old server could name after a room is visited, other folders are left alone', async (t) => {
  const root = join(await folder(t), 'elsewhere')
  const { generator, blake3: hash } = data.payloads.fixture_one
  const rooms = [...new Set(data.legacy_v1.room_dir_escaping.map(({ dir }) => dir))].filter((dir) => dir !== '')
  for (const dir of rooms) await place(join(root, dir, `${await hashOf(Buffer.from(dir))}`), dir)
  await place(join(root, '.git', 'config'), 'x')
  await place(join(root, 'my files', hash), generate(generator))
  await place(join(root, 'loose'), 'x')
  await place(join(root, '..', 'blob-tombstones', 'r', hash), '')
  await place(join(root, '5c', `${hash}.blob`), generate(generator))
  const store = fsBlobs({ root })
  await store.open()
  await store.close()
  t.same(await tree(root), {
    '.layout-v2': '',
    '.git/config': 'x',
    loose: 'x',
    [`my files/${hash}`]: 'fixture blob one',
    [`blake3/${hash}`]: 'fixture blob one',
    ...Object.fromEntries(await Promise.all(rooms.map(async (dir) => [`blake3/${await hashOf(Buffer.from(dir))}`, dir] as const)))
  })
  t.ok(await stat(join(root, '..', 'blob-tombstones', 'r', hash)), 'only a root named blobs had tombstones beside it')
})

t.test('BS-52 what cannot be migrated stays where it is and is tried again at the next start', async (t) => {
  const root = await folder(t)
  const { generator, blake3: hash } = data.payloads.fixture_one
  const warnings: string[] = []
  const log = { warn: (_: object, message: string) => { warnings.push(message) } }
  const layout = blobLayout(root)
  await mkdir(layout.pool)
  await place(join(root, 'r1', 'notes.txt'), 'second')
  await place(join(layout.quarantine, 'r1__notes.txt'), 'first')
  await writeFile(Buffer.concat([Buffer.from(join(root, 'r1', 'x')), Buffer.of(0xff)]), 'not Unicode')
  await symlink('/nowhere', join(root, 'r1', 'link'))
  await place(join(root, 'r2', hash), generate(generator))
  t.equal(await migrateBlobs(layout, log), false)
  t.equal(warnings.length, 3)
  t.same((await readdir(join(root, 'r1'))).length, 3)
  t.equal((await tree(layout.quarantine))['r1__notes.txt'], 'first', 'nothing in quarantine is overwritten')
  t.equal((await tree(layout.pool))[hash], 'fixture blob one', 'the rest went on')
  await rm(join(root, 'r1'), { recursive: true })
  await rm(layout.quarantine, { recursive: true })
  await writeFile(layout.quarantine, 'in the way')
  await place(join(root, 'r1', 'notes.txt'), 'second')
  t.equal(await migrateBlobs(layout, log), false, 'a blocked quarantine')
  await rm(layout.quarantine)
  t.equal(await migrateBlobs(layout, log), true)
  t.same(await tree(layout.quarantine), { 'r1__notes.txt': 'second' })
})

t.test('BS-53 a move to another device becomes a copy; one that fails leaves the source and no half file', async (t) => {
  const { generator, blake3: hash } = data.payloads.fixture_one
  const crossDevice = async (): Promise<void> => { throw Object.assign(new Error('cross-device link'), { code: 'EXDEV' }) }
  const real = async (path: string): Promise<string | null> => path.includes('r1') ? hash : null
  const root = await folder(t)
  const layout = blobLayout(root)
  await mkdir(layout.pool)
  await place(join(root, 'r1', hash), generate(generator))
  t.equal(await migrateBlobs(layout, quiet, { move: crossDevice, hash: real }), true)
  t.same(await tree(layout.pool), { [hash]: 'fixture blob one' })
  await rm(layout.marker)
  await place(join(root, 'r1', hash), generate(generator))
  await rm(layout.path(hash, 'identity'))
  await mkdir(join(layout.path(hash, 'identity'), 'in the way'), { recursive: true })
  t.equal(await migrateBlobs(layout, quiet, { move: crossDevice, hash: real }), false)
  t.same(await readdir(layout.pool), [hash], 'no copy under a temporary name')
  t.ok(await stat(join(root, 'r1', hash)))
  const denied = async (): Promise<void> => { throw new Error('denied') }
  t.equal(await migrateBlobs(layout, quiet, { move: denied, hash: real }), false)
  t.ok(await stat(join(root, 'r1', hash)))
  const unreadable = async (): Promise<null> => { throw new Error('input/output error') }
  t.equal(await migrateBlobs(layout, quiet, { move: rename, hash: unreadable }), true)
  t.same(await tree(layout.quarantine), { [`r1__${hash}`]: 'fixture blob one' }, 'unreadable files go into quarantine')
})
