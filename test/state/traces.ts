import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import type { Anchor, TextOp } from '../../lib/protocol/op.js'
import { type Text, createText } from '../../lib/state/text.js'

/** Position, number of characters to delete, text to insert; in Unicode scalar values. */
export type Patch = [position: number, deleted: number, inserted: string]

export interface Trace {
  endContent: string
  agents: number
  /** Parents are indices into the same array. A sequential trace is one agent whose transactions follow one another. */
  txns: { agent: number, parents: number[], patches: Patch[] }[]
}

/**
 * How edits are written: as range operations, which is what published clients do, or as operations on single characters. Only the
 * latter keep their meaning under every concurrent edit: a range anchored behind a character that someone else deletes at the same
 * time goes to the end of the text (spec/wire-format.md §9.2).
 */
export type OpStyle = 'ranges' | 'characters'

/** One edit as a client writes it: a transaction of one operation. */
export interface TraceEdit {
  agent: number
  /** The agent's made-up public key, 32 bytes. */
  author: Uint8Array
  lamport: number
  op: TextOp
  /** Indices of earlier edits. */
  parents: number[]
}

/** The editing histories lie beside the repository (design §8); another folder may be named in NODALMERGE_TRACES. */
function load (file: string): unknown {
  const folder = process.env.NODALMERGE_TRACES ?? join(fileURLToPath(new URL('../../..', import.meta.url)), 'shared', 'data')
  return JSON.parse(gunzipSync(readFileSync(join(folder, file))).toString())
}

/** One author, 259,778 edits of one character. */
export function loadSequential (): Trace {
  const { endContent, txns } = load('automerge-paper.json.gz') as { endContent: string, txns: { patches: Patch[] }[] }
  return { endContent, agents: 1, txns: txns.map(({ patches }, i) => ({ agent: 0, parents: i === 0 ? [] : [i - 1], patches })) }
}

/** Two authors at the same time, 26,078 edits of one character. */
export function loadConcurrent (): Trace {
  const { endContent, numAgents, txns } = load('friendsforever.json.gz') as { endContent: string, numAgents: number, txns: Trace['txns'] }
  return { endContent, agents: numAgents, txns }
}

export const authorOf = (agent: number): Uint8Array => new Uint8Array(32).fill(agent + 1)

/** An id for an edit without hashing: unique, and without a meaning of its own. */
export function standInId (index: number): Uint8Array {
  const id = new Uint8Array(32)
  new DataView(id.buffer).setUint32(0, index)
  return id
}

/** What one agent has seen: its text, how many edits of each agent, and its clock. */
interface Replica { text: Text, seen: number[], clock: number }

/**
 * The edits of a trace in its order, one per inserted or deleted run, as length-one ranges behind the character they follow when
 * the trace edits character by character. Every agent keeps a replica that takes in exactly what its parents bring.
 */
export function * editsToOps (trace: Trace, style: OpStyle = 'ranges', key = 't'): Generator<TraceEdit> {
  const replicas = Array.from({ length: trace.agents }, (): Replica => ({ text: createText(), seen: new Array(trace.agents).fill(0), clock: 0 }))
  const own: number[][] = replicas.map(() => [])
  const edits: TraceEdit[] = []
  const lastOf: number[] = []
  for (const [index, { agent, parents, patches }] of trace.txns.entries()) {
    const replica = replicas[agent]
    let tips = parents.map((parent) => lastOf[parent])
    for (const tip of tips) receive(replica, tip, edits, own)
    for (const patch of patches) {
      for (const op of opsOf(replica.text, key, patch, style)) {
        const edit = { agent, author: authorOf(agent), lamport: replica.clock + 1, op, parents: tips }
        tips = [edits.length]
        own[agent].push(edits.length)
        edits.push(edit)
        receive(replica, edits.length - 1, edits, own)
        yield edit
      }
    }
    lastOf[index] = tips[0] ?? -1
  }
}

/** Takes in an edit and what came before it, oldest first. */
function receive (replica: Replica, tip: number, edits: TraceEdit[], own: number[][]): void {
  const { agent } = edits[tip]
  while (replica.seen[agent] < own[agent].length && own[agent][replica.seen[agent]] <= tip) {
    const index = own[agent][replica.seen[agent]++]
    const edit = edits[index]
    for (const parent of edit.parents) receive(replica, parent, edits, own)
    replica.text.apply({ id: standInId(index), author: edit.author, lamport: edit.lamport }, [edit.op])
    replica.clock = Math.max(replica.clock, edit.lamport + (edit.op.type === 'text-insert-range' ? [...edit.op.text].length - 1 : 0))
  }
}

function * opsOf (text: Text, key: string, [position, deleted, inserted]: Patch, style: OpStyle): Generator<TextOp> {
  const at = text.toUnits(position)
  if (style === 'ranges') {
    if (deleted > 0) yield { type: 'text-delete-range', key, anchor: behind(text, at), count: deleted }
    if (inserted !== '') yield { type: 'text-insert-range', key, anchor: behind(text, at), text: inserted }
    return
  }
  for (let i = 0; i < deleted; i++) {
    const target = text.idAt(at)
    if (target !== null) yield { type: 'text-delete', key, target }
  }
  let end = at
  for (const char of inserted) {
    const anchor = behind(text, end)
    yield { type: 'text-insert', key, after: anchor.at === 'after' ? anchor.id : null, char }
    end += char.length
  }
}

function behind (text: Text, position: number): Anchor {
  const id = position === 0 ? null : text.idAt(position - 1)
  return id === null ? { at: 'start' } : { at: 'after', id }
}
