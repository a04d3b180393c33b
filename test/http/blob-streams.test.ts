import { once as event } from 'node:events'
import { readdir } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import t from 'tap'
import { discardRest } from '../../lib/http/blob-body.js'
import type { BlobStore } from '../../lib/store/blob-store.js'
import { fsBlobs } from '../../lib/store/fs.js'
import { memoryBlobs } from '../../lib/store/memory-blobs.js'
import { bytesOf, folder, hashOf, once } from '../store/blob-fixtures.js'
import { serve, wire } from './blob-client.js'

const blob = Buffer.alloc(300_000, 'nodalmerge')
const hash = await hashOf(blob)
const path = `/blobs/${hash}`
const NEXT = `HEAD ${path} HTTP/1.1\r\nHost: x\r\n\r\n`

/** A store that notes what a put is given, as it comes. */
function watched (store: BlobStore): { store: BlobStore, seen: { bytes: number, ended: boolean }, moved (): Promise<void> } {
  const seen = { bytes: 0, ended: false }
  let notify = (): void => {}
  async function * noted (body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of body) {
        seen.bytes += chunk.length
        notify()
        yield chunk
      }
    } finally {
      seen.ended = true
      notify()
    }
  }
  return {
    store: { ...store, put: (name, body, limits) => store.put(name, noted(body), limits) },
    seen,
    moved: () => new Promise((resolve) => { notify = resolve })
  }
}

t.test('BL-30 a body goes to the store as it arrives', async (t) => {
  const { store, seen, moved } = watched(memoryBlobs())
  const { port } = await serve(t, { store, maxBytes: blob.length })
  const client = await wire(t, port)
  client.write(`PUT ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${blob.length}\r\n\r\n`)
  client.write(blob.subarray(0, 1000))
  while (seen.bytes < 1000) await moved()
  t.equal(seen.bytes, 1000)
  client.write(blob.subarray(1000))
  t.match(await client.until(/\r\n\r\n/), /^HTTP\/1.1 201 /)
  client.write(NEXT)
  t.match(await client.until(/\r\n\r\n/), /^HTTP\/1.1 200 /)
})

t.test('BL-31 a body that announces too much is refused before it comes, and the connection goes on', async (t) => {
  const { store, seen } = watched(memoryBlobs())
  const { port } = await serve(t, { store, maxBytes: blob.length - 1 })
  const client = await wire(t, port)
  client.write(`PUT ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${blob.length}\r\n\r\n`)
  t.match(await client.until(/too large/), /^HTTP\/1.1 413 /)
  client.write(blob.subarray(0, 200_000))
  client.write(blob.subarray(200_000, blob.length))
  client.write(NEXT)
  t.match(await client.until(/\r\n\r\n/), /^HTTP\/1.1 404 /)
  t.equal(seen.bytes, 0)
})

t.test('BL-32 a chunked body is refused in the middle, and the connection goes on', async (t) => {
  const { store, seen } = watched(memoryBlobs())
  const { port } = await serve(t, { store, maxBytes: 100_000 })
  const client = await wire(t, port)
  const chunk = (bytes: Uint8Array): void => {
    client.write(`${bytes.length.toString(16)}\r\n`)
    client.write(bytes)
    client.write('\r\n')
  }
  for (let round = 0; round < 3; round++) {
    client.write(`PUT ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`)
    chunk(blob.subarray(0, 100_001))
    t.match(await client.until(/too large/), /^HTTP\/1.1 413 /)
    t.ok(seen.ended)
    chunk(blob.subarray(0, 50_000))
    chunk(blob.subarray(0, 40_000))
    client.write('0\r\n\r\n')
    client.write(NEXT)
    t.match(await client.until(/\r\n\r\n/), /^HTTP\/1.1 404 /)
  }
})

t.test('BL-33 a refusal without a token or with a bad name does not wedge the connection either', async (t) => {
  const { port } = await serve(t, { store: memoryBlobs(), maxBytes: 1_000_000, token: 'secret' })
  const client = await wire(t, port)
  for (const [target, status] of [[path, 401], ['/blobs/nope', 400], [`${path}/url`, 405]] as const) {
    client.write(`PUT ${target} HTTP/1.1\r\nHost: x\r\nContent-Length: ${blob.length}\r\n\r\n`)
    client.write(blob.subarray(0, 150_000))
    t.match(await client.until(/error/), new RegExp(`^HTTP/1.1 ${status} `))
    client.write(blob.subarray(150_000))
    client.write(NEXT)
    t.match(await client.until(/\r\n\r\n/), /^HTTP\/1.1 401 /)
  }
})

t.test('BL-34 a client that goes on sending after a refusal is cut off', async (t) => {
  const { port } = await serve(t, { store: memoryBlobs(), maxBytes: 1_000_000 })
  const client = await wire(t, port)
  client.write(`PUT ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 900000000\r\n\r\n`)
  t.match(await client.until(/too large/), /^HTTP\/1.1 413 /)
  for (let i = 0; i < 8; i++) client.write(blob)
  await client.closed
  t.pass('closed after the bytes of two accepted blobs')

  const slow = new PassThrough() as unknown as IncomingMessage
  slow.complete = false
  discardRest(slow, 1000, 1)
  await event(slow, 'close')
  t.pass('closed after its time was up')

  const ended = new PassThrough() as unknown as IncomingMessage
  ended.destroy()
  discardRest(ended, 1000, 1)
  t.equal(ended.listenerCount('data'), 0, 'nothing is done for a connection that is gone')
})

t.test('BL-35 a client that goes away in the middle of an upload leaves nothing behind', async (t) => {
  const root = await folder(t)
  const files = fsBlobs({ root })
  await files.open()
  t.teardown(() => files.close())
  const { store, seen, moved } = watched(files)
  const logs: object[] = []
  const { port, ask } = await serve(t, { store, maxBytes: 1_000_000 }, logs)
  const temporary = async (): Promise<string[]> => (await readdir(join(root, 'blake3'))).filter((name) => name.endsWith('.tmp'))
  for (const head of [`Content-Length: ${blob.length}\r\n\r\n`, 'Transfer-Encoding: chunked\r\n\r\n186A0\r\n']) {
    seen.bytes = 0
    seen.ended = false
    const client = await wire(t, port)
    client.write(`PUT ${path} HTTP/1.1\r\nHost: x\r\n${head}`)
    client.write(blob.subarray(0, 100_000))
    while (seen.bytes < 100_000) await moved()
    t.equal((await temporary()).length, 1)
    client.destroy()
    while (!seen.ended) await moved()
    while ((await temporary()).length > 0) await new Promise(setImmediate)
    t.equal(await files.stat(hash), null)
  }
  t.same(logs, [], 'which is no failure of the server')
  t.equal((await ask({ method: 'PUT', path, body: blob })).status, 201)
})

t.test('BL-36 a slow reader makes the store wait, and one that goes away lets it go', async (t) => {
  const size = 256 * 1024 * 1024
  const chunk = Buffer.alloc(64 * 1024)
  let given = 0
  let released = (): void => {}
  const left = new Promise<void>((resolve) => { released = resolve })
  async function * endless (): AsyncGenerator<Uint8Array> {
    try {
      for (; given < size; given += chunk.length) yield chunk
    } finally {
      released()
    }
  }
  const store: BlobStore = { ...memoryBlobs(), stat: async () => ({ size }), get: async () => ({ size, stream: endless() }) }
  const { port } = await serve(t, { store, maxBytes: 1000 })
  const client = await wire(t, port)
  client.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await client.until(/\r\n\r\n/)
  client.pause()
  let before = -1
  while (before !== given) {
    before = given
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.ok(given < size / 8, `${given} of ${size} bytes were taken from the store`)
  client.destroy()
  await left
  t.ok(given < size / 8)
})

t.test('BL-37 of two clients that put one blob at once, one creates it and both are served', async (t) => {
  const files = fsBlobs({ root: await folder(t) })
  await files.open()
  t.teardown(() => files.close())
  const { port, ask } = await serve(t, { store: files, maxBytes: blob.length })
  const clients = await Promise.all([wire(t, port), wire(t, port), wire(t, port)])
  for (const client of clients) client.write(`PUT ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${blob.length}\r\n\r\n`)
  for (const client of clients) client.write(blob.subarray(0, 290_000))
  for (const client of clients) client.write(blob.subarray(290_000))
  const answers = await Promise.all(clients.map(async (client) => (await client.until(/\r\n\r\n/)).slice(9, 12)))
  t.same(answers.sort(), ['200', '200', '201'])
  t.same((await ask({ path })).body, blob)
})

t.test('BL-38 a full memory store answers 503 and keeps what it has', async (t) => {
  const store = memoryBlobs({ maxBytes: 400_000 })
  const { ask } = await serve(t, { store, maxBytes: 1_000_000 })
  t.equal((await ask({ method: 'PUT', path, body: blob })).status, 201)
  const other = Buffer.alloc(200_000, 1)
  const answer = await ask({ method: 'PUT', path: `/blobs/${await hashOf(other)}`, body: other, chunked: true })
  t.same([answer.status, answer.body.toString()], [503, '{"error":"blob write failed"}'])
  t.same(await bytesOf(await store.get(hash)), blob)
  await store.delete(hash)
  t.equal(await store.put(await hashOf(other), once(other), { maxBytes: 1e6 }), 'created')
})
