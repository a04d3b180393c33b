import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Blake3 } from '../../lib/protocol/blake3.js'
import type { Anchor, TextOp } from '../../lib/protocol/op.js'
import { type Trace, type TraceEdit, editsToOps, loadConcurrent, loadSequential } from '../state/traces.js'
import { type Corpus, authorKey, cached, chain, createCollector } from './corpus.js'

/** Edits of the sequential trace. */
export const TRACE_EDITS = 259_778

export type TraceName = 'sequential' | 'concurrent'

/**
 * The folder of the recorded editing histories, which are not part of the repository; null when they are not there: then somebody who
 * types one character after the other stands in.
 */
function folder (): string | null {
  const path = process.env.NODALMERGE_TRACES ?? join(process.cwd(), '..', 'shared', 'data')
  if (!existsSync(path)) return null
  process.env.NODALMERGE_TRACES = path
  return path
}

export const tracesPresent = (): boolean => folder() !== null

/** The first `most` transactions of a trace; `endContent` is empty unless that is all of it. */
export function traceOf (name: TraceName, most: number): Trace {
  if (folder() === null) return typing(name, most)
  const trace = name === 'sequential' ? loadSequential() : loadConcurrent()
  return most < trace.txns.length ? { ...trace, endContent: '', txns: trace.txns.slice(0, most) } : trace
}

/** One author, or two that see each other's text once in a while. */
function typing (name: TraceName, most: number): Trace {
  const agents = name === 'sequential' ? 1 : 2
  const parents = (i: number): number[] => i % 64 < agents ? i < agents ? [] : [i - 1] : [i - agents]
  const txns: Trace['txns'] = Array.from({ length: most }, (_, i) => ({ agent: i % agents, parents: parents(i), patches: [[0, 0, 'a']] }))
  return { endContent: 'a'.repeat(most), agents, txns }
}

/** The operations of the sequential trace as `author` writes them; operation `i` is written at lamport `i + 1`. */
export function sequentialOps (most: number, author: Uint8Array): TextOp[] {
  return Array.from(editsToOps(traceOf('sequential', most)), ({ op }: TraceEdit) => by(author, op)).slice(0, most)
}

/** The same operation with its anchor under another author. */
function by (author: Uint8Array, op: TextOp): TextOp {
  if (op.type !== 'text-insert-range' && op.type !== 'text-delete-range') return op
  const anchor: Anchor = op.anchor.at === 'after' ? { at: 'after', id: { lamport: op.anchor.id.lamport, author } } : op.anchor
  return { ...op, anchor }
}

/** The sequential trace as signed nodes of one author, one an edit; kept, because signing them takes a while. */
export async function signedTrace (most: number, blake3: Blake3): Promise<Corpus> {
  const signer = authorKey(0)
  const path = folder()
  const file = path === null ? 'typing' : createHash('sha256').update(readFileSync(join(path, 'automerge-paper.json.gz'))).digest('hex')
  return await cached('trace', { most, file }, () => {
    const ops = sequentialOps(most, signer.publicKey)
    const collector = createCollector()
    for (const node of chain({ signer, blake3, count: ops.length, opsOf: (i) => [ops[i]] })) collector.add(node)
    return collector.corpus()
  })
}
