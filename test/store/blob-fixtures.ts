import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createBLAKE3 } from 'hash-wasm'
import type { BlobContent } from '../../lib/store/blob-store.js'

/** The generators of vectors-storage.json `payload_generators`. */
export type Generator =
  { utf8: string } | { repeat: { unit: string, count: number } } | { repeat_byte: { byte: number, count: number } } |
  { sha256_counter: { bytes: number } } | { concat: Generator[] }

export interface Payload { generator: Generator, length: number, blake3: string }

export function generate (generator: Generator): Buffer {
  if ('utf8' in generator) return Buffer.from(generator.utf8)
  if ('repeat' in generator) return Buffer.from(generator.repeat.unit.repeat(generator.repeat.count))
  if ('repeat_byte' in generator) return Buffer.alloc(generator.repeat_byte.count, generator.repeat_byte.byte)
  if ('concat' in generator) return Buffer.concat(generator.concat.map(generate))
  const { bytes } = generator.sha256_counter
  const blocks = Array.from({ length: Math.ceil(bytes / 32) }, (_, i) => {
    const counter = Buffer.alloc(4)
    counter.writeUInt32LE(i)
    return createHash('sha256').update(counter).digest()
  })
  return Buffer.concat(blocks).subarray(0, bytes)
}

export async function hashOf (bytes: Uint8Array): Promise<string> {
  return (await createBLAKE3()).init().update(bytes).digest('hex')
}

export async function bytesOf (content: BlobContent | null): Promise<Buffer> {
  if (content === null) throw new Error('the blob is missing')
  const parts: Uint8Array[] = []
  for await (const chunk of content.stream) parts.push(chunk)
  return Buffer.concat(parts)
}

export async function * once (...chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield * chunks
}

export async function vectors<T> (): Promise<T> {
  return JSON.parse(await readFile(new URL('../vectors/vectors-storage.json', import.meta.url), 'utf8')) as T
}

/** A new folder, removed when the test is over. */
export async function folder (t: { teardown (fn: () => Promise<void>): void }): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'nodalmerge-blobs-'))
  t.teardown(() => rm(path, { recursive: true, force: true }))
  return path
}

export async function place (path: string, bytes: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, bytes)
}

/** Every file below a folder with its text, folders without files as `name/` → `dir`. */
export async function tree (root: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    const name = path.slice(root.length + 1)
    if (entry.isFile()) found[name] = await readFile(path, 'utf8')
    else if ((await readdir(path)).length === 0) found[`${name}/`] = 'dir'
  }
  return found
}

/** Numbers in [0, 1) that depend on the seed alone (mulberry32). */
export function seeded (seed: number): () => number {
  let state = seed
  return () => {
    state = state + 0x6d2b79f5 | 0
    let mixed = Math.imul(state ^ state >>> 15, 1 | state)
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed
    return ((mixed ^ mixed >>> 14) >>> 0) / 4294967296
  }
}
