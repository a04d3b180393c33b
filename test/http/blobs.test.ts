import { createHash, randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { NodalmergeError } from '../../lib/errors.js'
import { acceptsZstd } from '../../lib/http/accept-encoding.js'
import { readUrlQuery } from '../../lib/http/blob-direct.js'
import { blobRoutes, type BlobRoutesOptions, type StoredBlob } from '../../lib/http/blobs.js'
import { expiryText } from '../../lib/http/expiry.js'
import { parseRange } from '../../lib/http/range.js'
import type { BlobStore } from '../../lib/store/blob-store.js'
import { fsBlobs } from '../../lib/store/fs.js'
import { memoryBlobs } from '../../lib/store/memory-blobs.js'
import { faultyBlobs } from '../../lib/testing/faulty-blob-store.js'
import { folder, generate, hashOf, once, place, seeded, vectors, type Generator, type Payload } from '../store/blob-fixtures.js'
import { serve, type Answer, type Ask } from './blob-client.js'

interface SurfaceVector {
  id: string
  seed?: string[]
  config?: { token?: string, max_blob_bytes?: number }
  setup?: { raw_file?: { path: string, utf8: string }, raw_file_b64?: { path: string, b64: string }, store?: string, verify?: string, message?: string }
  backend?: boolean
  req: { method: string, path: string, headers?: Record<string, string>, chunked?: boolean, body_payload?: string, body_utf8?: string, body_generator?: Generator }
  expect: {
    status?: number
    status_one_of?: number[]
    headers?: Record<string, string>
    headers_absent?: string[]
    json?: unknown
    json_keys?: string[]
    body_payload?: string
    body_b64?: string
    body_empty?: boolean
    stored?: boolean
    inventory_state?: string | null
    then?: { get_status: number, get_payload: string }
  }
}

interface Vectors {
  payloads: Record<string, Payload>
  http_blob_surface: SurfaceVector[]
  http_url_surface: { fake_backend: { url: string, ttl_seconds: number }, vectors: SurfaceVector[] }
  accept_encoding: { header: string | null, serve_zstd: boolean }[]
  iso8601_expiry: { unix_seconds: number | string, text: string }[]
}

const data = await vectors<Vectors>()
const PLENTY = { maxBytes: 64 * 1024 * 1024 }
const ZST = data.http_blob_surface.find(({ id }) => id === 'get-zstd-passthrough')?.setup?.raw_file_b64 ?? { path: '', b64: '' }
const zstHash = data.payloads.text_7600.blake3
const text7600 = generate(data.payloads.text_7600.generator)
const payload = (name: string): Buffer => generate(data.payloads[name].generator)
const json = (answer: Answer): unknown => JSON.parse(answer.body.toString())

const blob = randomBytes(100_000)
const hash = await hashOf(blob)
const path = `/blobs/${hash}`
const absent = `/blobs/${'1'.repeat(64)}`

async function stored (...blobs: Uint8Array[]): Promise<BlobStore> {
  const store = memoryBlobs()
  for (const bytes of blobs) await store.put(await hashOf(bytes), once(bytes), PLENTY)
  return store
}

function askOf ({ req }: SurfaceVector): Ask {
  const { method, path, headers = {}, chunked = false, body_payload: named, body_utf8: utf8, body_generator: generator } = req
  const body = named !== undefined ? payload(named) : utf8 !== undefined ? Buffer.from(utf8) : generator !== undefined ? generate(generator) : undefined
  return { method, path, headers, chunked, ...(body === undefined ? {} : { body }) }
}

/** A presigning backend, or one that cannot, in front of nothing. */
function backend (vector: SurfaceVector): BlobStore {
  const { url, ttl_seconds: ttl } = data.http_url_surface.fake_backend
  return {
    ...memoryBlobs(),
    manifest: { name: 'fake', durable: true, presign: vector.backend === true },
    presign: async () => ({ url, expiresAt: new Date(Date.now() + ttl * 1000) }),
    verifyUploaded: async () => vector.setup?.verify === 'fails' ? { ok: false, reason: vector.setup.message ?? '' } : { ok: true, size: 5 }
  }
}

function compare (t: Test, { id, expect }: SurfaceVector, answer: Answer): void {
  if (expect.status !== undefined) t.equal(answer.status, expect.status, id)
  if (expect.status_one_of !== undefined) t.ok(expect.status_one_of.includes(answer.status), `${id}: ${answer.status}`)
  for (const [name, value] of Object.entries(expect.headers ?? {})) t.equal(answer.headers[name], value, `${id}: ${name}`)
  for (const name of expect.headers_absent ?? []) t.notOk(name in answer.headers, `${id}: no ${name}`)
  if (expect.json !== undefined) t.same(json(answer), expect.json, id)
  if (expect.json_keys !== undefined) t.same(Object.keys(json(answer) as object), expect.json_keys, id)
  if (expect.body_payload !== undefined) t.same(answer.body, payload(expect.body_payload), id)
  if (expect.body_b64 !== undefined) t.equal(answer.body.toString('base64'), expect.body_b64, id)
  if (expect.body_empty === true) t.equal(answer.body.length, 0, id)
  if (answer.status >= 400) {
    t.equal(answer.headers['cache-control'], 'no-store', id)
    t.notOk('etag' in answer.headers, id)
  }
}

t.test('BL-1 the blob routes answer as published', async (t) => {
  for (const vector of data.http_blob_surface) {
    const root = await folder(t)
    const { raw_file: raw, raw_file_b64: raw64, store: fault } = vector.setup ?? {}
    if (raw !== undefined) await place(join(root, raw.path), raw.utf8)
    if (raw64 !== undefined) await place(join(root, raw64.path), Buffer.from(raw64.b64, 'base64'))
    const store = faultyBlobs(fsBlobs({ root: join(root, 'blobs') }))
    await store.open()
    for (const name of vector.seed ?? []) await store.put(data.payloads[name].blake3, once(payload(name)), PLENTY)
    if (fault === 'put-fails-backend') store.fail('put', new NodalmergeError('reject.blob_write_failed', 'ENOSPC on /secret'))
    if (fault === 'put-fails-unavailable') store.fail('put', new NodalmergeError('reject.blob_unavailable', 'no answer in time'))
    const inventory: StoredBlob[] = []
    const { ask } = await serve(t, {
      store,
      maxBytes: vector.config?.max_blob_bytes ?? PLENTY.maxBytes,
      token: vector.config?.token,
      onStored: (_, stored) => { inventory.push(stored) }
    })
    const answer = await ask(askOf(vector))
    compare(t, vector, answer)
    const name = vector.req.path.slice('/blobs/'.length)
    if (vector.expect.stored !== undefined) {
      const there = /^[0-9a-f]{64}$/.test(name) && await store.stat(name) !== null
      t.equal(there, vector.expect.stored, `${vector.id}: stored`)
      t.equal(inventory.length, vector.expect.stored ? 1 : 0, `${vector.id}: recorded when stored`)
    }
    if (vector.expect.inventory_state === null) t.same(inventory, [], vector.id)
    if (vector.expect.inventory_state === 'Active') t.same(inventory, [{ hash: name, size: payload('http_put').length, via: 'http' }], vector.id)
    if (vector.expect.then !== undefined) {
      const again = await ask({ path: vector.req.path })
      t.equal(again.status, vector.expect.then.get_status)
      t.same(again.body, payload(vector.expect.then.get_payload))
    }
    t.same((await readdir(join(root, 'blobs', 'blake3'))).filter((file) => file.endsWith('.tmp')), [], 'nothing left')
    await store.close()
  }
})

t.test('BL-2 the routes for presigned URLs answer as published', async (t) => {
  for (const vector of data.http_url_surface.vectors) {
    const inventory: StoredBlob[] = []
    const { ask } = await serve(t, { store: backend(vector), maxBytes: 1000, token: vector.config?.token, onStored: (_, stored) => { inventory.push(stored) } })
    const answer = await ask(askOf(vector))
    compare(t, vector, answer)
    if (vector.expect.json_keys !== undefined) {
      const { url, expiresAtUtc } = json(answer) as { url: string, expiresAtUtc: string }
      t.equal(url, data.http_url_surface.fake_backend.url)
      t.match(expiresAtUtc, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    }
    if (vector.id === 'uploaded-ok') t.match(inventory, [{ size: 5, via: 'direct' }])
    else t.same(inventory, [])
  }
})

t.test('BL-3 zstd is served to who names it without refusing it', async (t) => {
  for (const { header, serve_zstd: expected } of data.accept_encoding) t.equal(acceptsZstd(header ?? undefined), expected, String(header))
  t.equal(acceptsZstd('zstd;q=0, zstd'), true)
  t.equal(acceptsZstd('zstd;level=3;q=0'), false)
  t.equal(acceptsZstd('zstd;q'), true)
})

t.test('BL-4 expiry is told in whole seconds of UTC, clamped', async (t) => {
  for (const { unix_seconds: seconds, text } of data.iso8601_expiry) t.equal(expiryText(Number(seconds)), text)
  t.equal(expiryText(0.999), '1970-01-01T00:00:00Z')
  t.equal(expiryText(-5), '1970-01-01T00:00:00Z')
  t.equal(expiryText(NaN), '9999-12-31T23:59:59Z', 'an invalid date')
})

t.test('BL-5 HEAD tells what GET would, without reading content', async (t) => {
  const store = faultyBlobs(await stored(blob))
  store.fail('get')
  const { ask } = await serve(t, { store, maxBytes: 1000 })
  const answer = await ask({ method: 'HEAD', path })
  t.equal(answer.status, 200)
  t.match(answer.headers, {
    'content-type': 'application/octet-stream',
    'content-length': '100000',
    etag: `"${hash}"`,
    'accept-ranges': 'bytes',
    vary: 'Accept-Encoding',
    'cache-control': 'public, max-age=31536000, immutable',
    'x-content-type-options': 'nosniff',
    'content-security-policy': 'sandbox'
  })
  t.equal((await ask({ method: 'HEAD', path, headers: { 'if-none-match': `"${hash}"` } })).status, 304)
  const root = await folder(t)
  await place(join(root, ZST.path), Buffer.from(ZST.b64, 'base64'))
  const files = fsBlobs({ root: join(root, 'blobs') })
  await files.open()
  t.teardown(() => files.close())
  const compressed = await serve(t, { store: files, maxBytes: 1000 })
  const before = await compressed.ask({ method: 'HEAD', path: `/blobs/${zstHash}` })
  t.notOk('content-length' in before.headers, 'nobody has decoded it yet')
  await compressed.ask({ path: `/blobs/${zstHash}` })
  t.equal((await compressed.ask({ method: 'HEAD', path: `/blobs/${zstHash}` })).headers['content-length'], '7600')
})

t.test('BL-6 a client that holds the blob gets 304, but never for one that is absent', async (t) => {
  const { ask } = await serve(t, { store: await stored(blob), maxBytes: 1000 })
  for (const tags of [`"${hash}"`, `W/"${hash}"`, '*', `"other", "${hash}"`]) {
    const answer = await ask({ path, headers: { 'if-none-match': tags } })
    t.equal(answer.status, 304, tags)
    t.equal(answer.body.length, 0)
    t.match(answer.headers, { etag: `"${hash}"`, 'cache-control': /immutable/, vary: 'Accept-Encoding' })
  }
  for (const tags of ['"other"', hash, `"${hash}x"`]) t.equal((await ask({ path, headers: { 'if-none-match': tags } })).status, 200, tags)
  t.equal((await ask({ path: absent, headers: { 'if-none-match': '*' } })).status, 404)
})

t.test('BL-7 a range is a part of the raw content', async (t) => {
  const { ask } = await serve(t, { store: await stored(blob), maxBytes: 1000 })
  const part = async (range: string, headers = {}): Promise<Answer> => await ask({ path, headers: { range, 'accept-encoding': 'zstd', ...headers } })
  for (const [range, first, last] of [['bytes=0-0', 0, 0], ['bytes=5-', 5, 99_999], ['bytes=-10', 99_990, 99_999], ['BYTES=99999-2000000', 99_999, 99_999], ['bytes=-999999', 0, 99_999]] as const) {
    const answer = await part(range)
    t.equal(answer.status, 206, range)
    t.equal(answer.headers['content-range'], `bytes ${first}-${last}/100000`)
    t.equal(answer.headers['content-length'], String(last + 1 - first))
    t.same(answer.body, blob.subarray(first, last + 1))
  }
  for (const range of ['bytes=100000-', 'bytes=-0', 'bytes=99999999999999999999999-']) {
    const answer = await part(range)
    t.equal(answer.status, 416, range)
    t.equal(answer.headers['content-range'], 'bytes */100000')
  }
  for (const range of ['bytes=5-4', 'bytes=-', 'bytes=0-1,5-6', 'lines=0-1', 'bytes=a-b', '']) {
    const answer = await part(range)
    t.equal(answer.status, 200, `${range} counts as no range`)
    t.equal(answer.body.length, blob.length)
  }
  t.equal((await part('bytes=0-9', { 'if-range': `"${hash}"` })).status, 206)
  for (const other of ['"other"', `W/"${hash}"`, 'Wed, 21 Oct 2015 07:28:00 GMT']) t.equal((await part('bytes=0-9', { 'if-range': other })).status, 200, other)
  t.equal((await part('bytes=0-9', { 'if-none-match': '*' })).status, 304)
})

t.test('BL-8 a range of a compressed blob is one of its plain bytes', async (t) => {
  const root = await folder(t)
  await place(join(root, ZST.path), Buffer.from(ZST.b64, 'base64'))
  await place(join(root, 'blobs', 'blake3', `${hash}.zst`), 'no frame')
  const store = fsBlobs({ root: join(root, 'blobs') })
  await store.open()
  t.teardown(() => store.close())
  const { ask } = await serve(t, { store, maxBytes: 1000 })
  const answer = await ask({ path: `/blobs/${zstHash}`, headers: { range: 'bytes=100-199', 'accept-encoding': 'zstd' } })
  t.equal(answer.status, 206)
  t.equal(answer.headers['content-range'], 'bytes 100-199/7600')
  t.notOk('content-encoding' in answer.headers)
  t.same(answer.body, text7600.subarray(100, 200))
  t.equal((await ask({ path, headers: { range: 'bytes=0-1' } })).status, 404, 'a corrupt one is missing')
})

t.test('BL-9 any range header gives what the standard says (seeded)', async (t) => {
  const seed = Number(process.env.BLOB_RANGE_SEED ?? Date.now() % 1_000_000)
  t.comment(`seed ${seed}`)
  const random = seeded(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]
  const wrong: unknown[] = []
  for (let i = 0; i < 3000; i++) {
    const size = Math.floor(random() * 6)
    const [a, b] = [pick(['', '0', '1', '2', '4', '5', '9', '007', '1'.repeat(30)]), pick(['', '0', '1', '3', '5', '6', '9'.repeat(30)])]
    const wanted = Array.from({ length: size }, (_, at) => at).filter((at) => a === '' ? at >= size - Number(b) : at >= Number(a) && (b === '' || at <= Number(b)))
    const readable = a === '' ? b !== '' : b === '' || Number(a) <= Number(b)
    const nothing = a === '' && Number(b) > 0 ? 'whole' : 'unsatisfiable'
    const expected = !readable ? 'whole' : wanted.length === 0 ? nothing : { first: wanted[0], last: wanted[wanted.length - 1] }
    const got = parseRange(`bytes=${a}-${b}`, size)
    if (JSON.stringify(got) !== JSON.stringify(expected)) wrong.push({ a, b, size, got, expected })
  }
  for (let i = 0; i < 3000; i++) {
    const header = Array.from({ length: Math.floor(random() * 12) }, () => pick([...'bytes=-0123456789, \t;', '\u0000', 'é'])).join('')
    const got = parseRange(header, 5)
    if (typeof got !== 'string' && (got.first < 0 || got.first > got.last || got.last >= 5)) wrong.push({ header, got })
  }
  t.same(wrong, [])
})

t.test('BL-10 what needs a right is not for shared caches, and errors are for none', async (t) => {
  const store = await stored(blob)
  const open = await serve(t, { store, maxBytes: 1000 })
  t.match((await open.ask({ path })).headers['cache-control'], /^public, /)
  const withToken = await serve(t, { store, maxBytes: 1000, token: 'secret' })
  t.match((await withToken.ask({ path, headers: { authorization: 'Bearer secret' } })).headers['cache-control'], /^private, /)
  const refused = await withToken.ask({ path })
  t.match(refused.headers, { 'cache-control': 'no-store', 'www-authenticate': 'Bearer', vary: 'Accept-Encoding', 'x-content-type-options': 'nosniff' })
  const withHook = await serve(t, { store, maxBytes: 1000, authorize: () => true })
  t.match((await withHook.ask({ path })).headers['cache-control'], /^private, /)
})

t.test('BL-11 other methods are answered with 405 and the ones there are; OPTIONS is the host\'s', async (t) => {
  const { app } = await serve(t, { store: await stored(blob), maxBytes: 1000 })
  for (const [url, methods, allow] of [
    [path, ['DELETE', 'PATCH', 'POST'], 'GET, HEAD, PUT'],
    [`${path}/url`, ['HEAD', 'PUT', 'POST', 'DELETE'], 'GET'],
    [`${path}/uploaded`, ['GET', 'HEAD', 'PUT'], 'POST']
  ] as const) {
    for (const method of methods) {
      const answer = await app.inject({ method, url, ...(method === 'GET' || method === 'HEAD' ? {} : { payload: 'x' }) })
      t.equal(answer.statusCode, 405, `${method} ${url}`)
      t.equal(answer.headers.allow, allow)
      if (method !== 'HEAD') t.same(answer.json(), { error: 'method not allowed' })
    }
  }
  t.equal((await app.inject({ method: 'OPTIONS', url: path })).statusCode, 404)
})

t.test('BL-12 the checks come in the published order, all of them before the body is read', async (t) => {
  const store = faultyBlobs(memoryBlobs())
  const ops: string[] = []
  const { ask } = await serve(t, {
    store,
    maxBytes: 10,
    token: 'secret',
    authorize: (request, action) => {
      ops.push(action.op)
      return request.headers['x-deny'] === undefined ? true : { refused: 'not you' }
    }
  })
  const right = { authorization: 'Bearer secret' }
  const tooLarge = { method: 'PUT', body: Buffer.alloc(11) }
  t.equal((await ask({ ...tooLarge, path: '/blobs/nope', headers: { 'content-encoding': 'gzip' } })).status, 400, 'name')
  t.equal((await ask({ ...tooLarge, path, headers: { 'content-encoding': 'gzip', 'x-deny': '1' } })).status, 401, 'token')
  t.same(ops, [], 'the host is asked after both')
  t.equal((await ask({ ...tooLarge, path, headers: { ...right, 'content-encoding': 'gzip', 'x-deny': '1' } })).status, 403, 'host')
  t.equal((await ask({ ...tooLarge, path, headers: { ...right, 'content-encoding': 'gzip' } })).status, 415, 'encoding')
  t.equal((await ask({ ...tooLarge, path, headers: right })).status, 413, 'size')
  t.equal(store.calls.size, 0, 'the store was not asked')
  t.equal((await ask({ path: '/blobs/nope/url?op=no' })).status, 400)
  t.equal((await ask({ path: `${path}/url?op=no` })).status, 401, 'token before query')
  t.same(json(await ask({ path: `${path}/url?op=no`, headers: right })), { error: "op must be 'get' or 'put'" }, 'query before capability')
  t.equal((await ask({ path: `${path}/url?op=get`, headers: right })).status, 501)
  for (const wrong of ['Bearer', 'Bearer ', 'Basic secret', 'Bearer secret2', 'secret', 'Bearer  secret']) {
    t.equal((await ask({ path, headers: { authorization: wrong } })).status, 401, wrong)
  }
})

t.test('BL-13 the host decides each action, and anything but true refuses', async (t) => {
  const asked: unknown[] = []
  let answer: unknown = true
  const authorize = (async (_request, action) => {
    asked.push(action)
    if (answer instanceof Error) throw answer
    return answer
  }) as NonNullable<BlobRoutesOptions['authorize']>
  const store: BlobStore = backend({ id: '', backend: true, req: { method: '', path: '' }, expect: {} })
  const logs: object[] = []
  const { ask } = await serve(t, { store, maxBytes: PLENTY.maxBytes, authorize }, logs)
  const asks: Ask[] = [
    { method: 'PUT', path, body: blob }, { path }, { method: 'HEAD', path }, { path: `${path}/url?op=get` },
    { path: `${path}/url?op=put&size=3` }, { method: 'POST', path: `${path}/uploaded` }
  ]
  for (const each of asks) t.ok((await ask(each)).status < 300, each.path)
  t.same(asked, [
    { op: 'put', hash }, { op: 'get', hash }, { op: 'head', hash }, { op: 'url', hash, direction: 'get' },
    { op: 'url', hash, direction: 'put' }, { op: 'uploaded', hash }
  ])
  for (const [given, status, error] of [
    [{ refused: '', code: 'reject.blob_not_found' }, 404, 'not found'], [{ refused: 'not in this room' }, 403, 'not in this room'],
    [{ refused: 'sign in', code: 'unauthorized.token_missing' }, 401, 'sign in'], [false, 403, 'the host refused this peer'], [undefined, 403, 'the host refused this peer'],
    [null, 403, 'the host refused this peer'], [{ code: 'toString' }, 403, 'the host refused this peer'], [1, 403, 'the host refused this peer'],
    [new NodalmergeError('reject.room_unavailable'), 503, 'room loading'], [new Error('the database is down'), 500, 'internal error']
  ] as const) {
    answer = given
    for (const each of asks) {
      const got = await ask(each)
      t.equal(got.status, status, `${each.method ?? 'GET'} ${each.path}`)
      t.equal(got.headers['cache-control'], 'no-store')
      if (each.method !== 'HEAD') t.same(json(got), { error })
      if (status === 401) t.equal(got.headers['www-authenticate'], 'Bearer')
    }
  }
  t.ok(logs.some((line) => JSON.stringify(line).includes('the database is down')), 'the host can read why')
})

t.test('BL-14 what the store cannot do is told apart: 503 may be retried, 500 is a failure, texts are ours', async (t) => {
  const store = faultyBlobs(await stored(blob))
  const { ask } = await serve(t, { store, maxBytes: PLENTY.maxBytes })
  const put = { method: 'PUT', path, body: blob }
  store.fail('put', new NodalmergeError('store.failed', 'EIO on /secret'))
  let answer = await ask(put)
  t.same([answer.status, json(answer)], [503, { error: 'blob write failed' }])
  store.fail('put', new Error('EIO on /secret'))
  answer = await ask(put)
  t.same([answer.status, json(answer)], [500, { error: 'internal error' }])
  store.fail('stat', new NodalmergeError('store.failed', 'EIO on /secret'))
  answer = await ask({ path })
  t.same([answer.status, json(answer)], [503, { error: 'the store failed' }])
  store.heal()
  store.cut(0)
  answer = await ask({ path, headers: { range: 'bytes=0-9' } })
  t.same([answer.status, json(answer)], [503, { error: 'the store failed' }], 'before the first byte there is still time to say so')
  for (const name of ['etag', 'content-range', 'accept-ranges']) t.notOk(name in answer.headers, name)
  store.cut(70_000)
  await t.rejects(ask({ path }), { code: 'ECONNRESET' }, 'after it the transfer breaks off')
  store.heal()
  await store.delete(hash)
  const gone = { ...store, stat: async () => ({ size: null }) }
  const racing = await serve(t, { store: gone, maxBytes: 1000 })
  t.equal((await racing.ask({ path })).status, 404, 'gone between two looks')
  t.equal((await racing.ask({ path, headers: { range: 'bytes=0-9' } })).status, 404)
  const later = await serve(t, { store: { ...store, stat: async () => ({ size: 100 }) }, maxBytes: 1000 })
  t.equal((await later.ask({ path, headers: { range: 'bytes=0-9' } })).status, 404)
})

t.test('BL-15 a corrupt large blob never arrives whole, and is missing from then on', async (t) => {
  const root = await folder(t)
  const large = randomBytes(2_000_000)
  const name = await hashOf(large)
  await place(join(root, 'blake3', name), Buffer.from(large).fill(0, 1_999_000))
  const store = fsBlobs({ root })
  await store.open()
  t.teardown(() => store.close())
  const { ask } = await serve(t, { store, maxBytes: PLENTY.maxBytes })
  await t.rejects(ask({ path: `/blobs/${name}` }), { code: 'ECONNRESET' })
  t.equal((await ask({ path: `/blobs/${name}` })).status, 404)
  t.equal((await ask({ method: 'PUT', path: `/blobs/${name}`, body: large })).status, 201)
  t.equal(createHash('sha256').update((await ask({ path: `/blobs/${name}` })).body).digest('hex'), createHash('sha256').update(large).digest('hex'))
})

t.test('BL-16 a body is bytes, whatever its type claims to be', async (t) => {
  const { ask } = await serve(t, { store: memoryBlobs(), maxBytes: 1000 })
  const bytes = Buffer.from('{ not json')
  const name = await hashOf(bytes)
  for (const type of ['application/json', 'multipart/form-data', 'text/plain; charset=x', '///', 'nonsense']) {
    const answer = await ask({ method: 'PUT', path: `/blobs/${name}`, body: bytes, headers: { 'content-type': type } })
    t.ok([200, 201].includes(answer.status), `${type}: ${answer.status}`)
  }
  t.same((await ask({ path: `/blobs/${name}` })).body, bytes)
  const empty = data.payloads.empty.blake3
  t.equal((await ask({ method: 'PUT', path: `/blobs/${empty}` })).status, 201, 'no body at all')
  t.equal((await ask({ path: `/blobs/${empty}` })).headers['content-length'], '0')
  t.equal((await ask({ path: `/blobs/${empty}`, headers: { range: 'bytes=-5' } })).status, 200)
})

t.test('BL-17 a record that cannot be made does not undo an upload', async (t) => {
  const logs: object[] = []
  const recorded: StoredBlob[] = []
  const { ask } = await serve(t, {
    store: memoryBlobs(),
    maxBytes: PLENTY.maxBytes,
    onStored: async (_request, stored) => {
      recorded.push(stored)
      throw new Error('ledger down')
    }
  }, logs)
  t.equal((await ask({ method: 'PUT', path, body: blob })).status, 201)
  t.equal((await ask({ method: 'PUT', path, body: blob })).status, 200)
  t.same(recorded, [{ hash, size: blob.length, via: 'http' }, { hash, size: blob.length, via: 'http' }])
  t.match(logs, [{ msg: 'a stored blob could not be recorded', hash }, {}])
})

t.test('BL-18 the query for a URL is bounded before anyone signs it', async (t) => {
  const code = (name: string): { code: string } => ({ code: `reject.${name}` })
  t.throws(() => readUrlQuery({ op: 'put', size: '1001' }, 1000), code('blob_too_large'))
  t.throws(() => readUrlQuery({ op: 'put', size: '9'.repeat(16) }, 1000), code('blob_size_invalid'))
  t.throws(() => readUrlQuery({ op: ['get'] }, 1000), code('blob_op_invalid'))
  t.throws(() => readUrlQuery(null, 1000), code('blob_op_invalid'))
  for (const contentType of ['x\r\ny', 'é', 'x'.repeat(256), ['a', 'b']]) t.throws(() => readUrlQuery({ op: 'get', contentType }, 1000), code('blob_query_invalid'))
  t.same(readUrlQuery({ op: 'put', size: '1000', contentType: 'text/plain' }, 1000), { op: 'put', about: { room: '_global', size: 1000, contentType: 'text/plain' } })
  t.same(readUrlQuery({ op: 'get', size: '-1' }, 1000), { op: 'get', about: { room: '_global', size: 0 } })
  const declining = { ...backend({ id: '', backend: true, req: { method: '', path: '' }, expect: {} }), presign: async () => null }
  const { ask } = await serve(t, { store: declining, maxBytes: 1000, maxDirectBytes: 5000 })
  t.equal((await ask({ path: `${path}/url?op=get` })).status, 501, 'a store may decline')
  t.equal((await ask({ path: `${path}/url?op=put&size=5001` })).status, 413)
})

t.test('BL-19 two registrations do not meet, and the host keeps its parsers and its Vary', async (t) => {
  const { default: Fastify } = await import('fastify')
  const app = Fastify()
  app.addHook('onRequest', async (_request, reply) => { reply.header('vary', 'Origin') })
  app.post('/json', async (request) => request.body)
  await app.register(blobRoutes, { prefix: '/a', store: await stored(blob), maxBytes: 10 })
  await app.register(blobRoutes, { prefix: '/b', store: memoryBlobs(), maxBytes: 1_000_000 })
  t.same((await app.inject({ method: 'POST', url: '/json', payload: { x: 1 } })).json(), { x: 1 })
  const answer = await app.inject({ url: `/a${path}` })
  t.same(answer.rawPayload, blob)
  t.equal(answer.headers.vary, 'Origin, Accept-Encoding')
  t.equal((await app.inject({ url: `/b${path}` })).statusCode, 404)
  t.equal((await app.inject({ method: 'PUT', url: `/a${path}`, payload: blob })).statusCode, 413)
  t.equal((await app.inject({ method: 'PUT', url: `/b${path}`, payload: blob })).statusCode, 201)
  await app.close()
})

t.test('BL-20 options that cannot work are refused at registration', async (t) => {
  const { default: Fastify } = await import('fastify')
  for (const wrong of [{ maxBytes: 0 }, { maxBytes: 0.5 }, { maxBytes: 1, token: '' }]) {
    const app = Fastify()
    await t.rejects(Promise.resolve(app.register(blobRoutes, { store: memoryBlobs(), ...wrong })), RangeError)
    await app.close()
  }
})
