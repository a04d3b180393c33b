import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Blake3 } from '../../lib/protocol/blake3.js'
import type { Signer } from '../../lib/protocol/crypto.js'
import { encodeNode, encodeTransaction, nodeId, scanNode } from '../../lib/protocol/node.js'
import type { Op } from '../../lib/protocol/op.js'
import { cursor } from '../../lib/protocol/postcard.js'
import { createSigner } from '../../lib/crypto/ed25519.js'

/** Encoded nodes, one after the other; node `i` ends at `ends[i]`. */
export interface Corpus { bytes: Uint8Array, ends: Uint32Array }

export const nodeAt = ({ bytes, ends }: Corpus, i: number): Uint8Array => bytes.subarray(i === 0 ? 0 : ends[i - 1], ends[i])

export function * nodesOf (corpus: Corpus): Generator<Uint8Array> {
  for (let i = 0; i < corpus.ends.length; i++) yield nodeAt(corpus, i)
}

/** Lies in the past, so that no server finds it ahead of its clock. */
const WALL_MS = 1_700_000_000_000

/** Writes nodes into a corpus. */
export function createCollector (): { add (node: Uint8Array): void, corpus (): Corpus } {
  let bytes = new Uint8Array(1 << 16)
  const ends: number[] = []
  let used = 0
  return {
    add (node) {
      if (used + node.length > bytes.length) {
        const larger = new Uint8Array(Math.max(bytes.length * 2, used + node.length))
        larger.set(bytes.subarray(0, used))
        bytes = larger
      }
      bytes.set(node, used)
      used += node.length
      ends.push(used)
    },
    corpus: () => ({ bytes: bytes.subarray(0, used), ends: Uint32Array.from(ends) })
  }
}

/** What one author writes, each node on top of the one before. */
export interface Chain { signer: Signer, blake3: Blake3, count: number, opsOf (i: number, lamport: number): Op[] }

export function * chain ({ signer, blake3, count, opsOf }: Chain): Generator<Uint8Array> {
  let parents: Uint8Array[] = []
  for (let i = 0; i < count; i++) {
    const lamport = i + 1
    const transaction = encodeTransaction({ author: signer.publicKey, lamport, wallMs: WALL_MS + 100 * i, ops: opsOf(i, lamport), parents })
    const id = nodeId(transaction, blake3)
    yield encodeNode(id, transaction, signer.sign(id))
    parents = [id]
  }
}

export type Kind = 'keystroke' | 'cells'

/** Operations of one node: one typed character, or fifty cells of a map. */
export const OPS: Record<Kind, number> = { keystroke: 1, cells: 50 }

export function opsOf (kind: Kind, author: Uint8Array): Chain['opsOf'] {
  if (kind === 'cells') return (i) => Array.from({ length: OPS.cells }, (_, k) => ({ type: 'map-set', key: `cell ${k}`, value: Buffer.from(`value ${i}`) }))
  return (i, lamport) => [{ type: 'text-insert', key: 'text', after: i === 0 ? null : { lamport: lamport - 1, author }, char: 'abcdefgh'[i & 7] }]
}

/** The signer of the n-th author. */
export function authorKey (n: number): Signer {
  return createSigner(Uint8Array.from({ length: 32 }, (_, i) => n >>> (8 * (i & 3)) ^ i))
}

/** Signs with filler: for nodes that go straight into a store, which is trusted for signatures. */
export function pretender (n: number): Signer {
  return { publicKey: authorKey(n).publicKey, sign: () => new Uint8Array(64).fill(0x42) }
}

/** Increase when what is generated changes. */
const GENERATION = 1

/** Nodes made once and kept in the temporary folder of the machine, by what they were made from. */
export async function cached (name: string, from: unknown, make: () => Promise<Corpus> | Corpus): Promise<Corpus> {
  const folder = join(tmpdir(), 'nodalmerge-bench')
  const key = createHash('sha256').update(JSON.stringify([GENERATION, name, from])).digest('hex').slice(0, 24)
  const path = join(folder, `${name}-${key}.nodes`)
  try {
    return read(await readFile(path))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const made = await make()
  await mkdir(folder, { recursive: true })
  await writeFile(`${path}.${process.pid}`, made.bytes)
  await rename(`${path}.${process.pid}`, path)
  return made
}

function read (bytes: Uint8Array): Corpus {
  const ends: number[] = []
  for (const c = cursor(bytes); c.pos < bytes.length;) ends.push(scanNode(c).end)
  return { bytes, ends: Uint32Array.from(ends) }
}

/** Signed nodes of authors `first` to `first + authors`, `count` of each, author by author; kept when there are many. */
export async function signedChains (kind: Kind, authors: number, count: number, blake3: Blake3, first = 0): Promise<Corpus> {
  const make = (): Corpus => {
    const collector = createCollector()
    for (let a = first; a < first + authors; a++) {
      const signer = authorKey(a)
      for (const node of chain({ signer, blake3, count, opsOf: opsOf(kind, signer.publicKey) })) collector.add(node)
    }
    return collector.corpus()
  }
  return authors * count < 1_000 ? make() : await cached(`signed-${kind}`, { authors, count, first }, make)
}
