import { fsBlobs } from '../../lib/store/fs.js'
import { hashOf, seeded } from './blob-fixtures.js'

/** Puts blobs of the seeded sequence, four at a time, and reports each one that was acknowledged, until it is killed. */
const [root, seed] = process.argv.slice(2)
const store = fsBlobs({ root })
await store.open()
const random = seeded(Number(seed))

async function * pieces (bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 20_000) yield bytes.subarray(at, at + 20_000)
}

async function writer (): Promise<never> {
  for (;;) {
    const bytes = Buffer.alloc(1 + Math.floor(random() * 299_999), String(random()))
    const hash = await hashOf(bytes)
    await store.put(hash, pieces(bytes), { maxBytes: 300_000 })
    process.send?.(hash)
  }
}

await Promise.all([writer(), writer(), writer(), writer()])
