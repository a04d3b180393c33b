import { Worker } from 'node:worker_threads'
import { createVerifier } from '../../lib/crypto/verifier.js'
import { createDag } from '../../lib/dag/dag.js'
import type { Blake3 } from '../../lib/protocol/blake3.js'
import { loadBlake3 } from '../../lib/protocol/blake3-wasm.js'
import { ID_LENGTH, authorOf, createNodeBuilder, idOf, scanNode, signatureOf } from '../../lib/protocol/node.js'
import type { TextOp } from '../../lib/protocol/op.js'
import { cursor } from '../../lib/protocol/postcard.js'
import { createText } from '../../lib/state/text.js'
import { editsToOps, standInId } from '../state/traces.js'
import { authorKey, nodeAt, signedChains } from './corpus.js'
import { type TraceName, sequentialOps, traceOf, tracesPresent } from './trace.js'

export type EngineCommands = ReturnType<typeof commands>

/** Edits and how long each run took for them. */
export interface Replayed { edits: number, seconds: number[] }

/** Jobs of one call, as many as a busy server hands over in one turn of its event loop. */
const JOBS_PER_CALL = 64

/** Work that needs no server: what this machine can do at all. */
export function commands () {
  return {
    /** Signatures verified per second on worker threads with `flight` of them under way, `count` in all; with `platform` by `node:crypto`. */
    async verify ({ count, flight, threads, platform }: { count: number, flight: number, threads: number, platform: boolean }): Promise<number> {
      const corpus = await signedChains('keystroke', 1, count, await loadBlake3())
      const jobs = Array.from({ length: count }, (_, i) => {
        const node = scanNode(cursor(nodeAt(corpus, i)))
        return { author: authorOf(node), id: idOf(node), signature: signatureOf(node) }
      })
      const verifier = createVerifier(platform ? { threads, start: startPlatformThread } : { threads })
      await verifier.verify(jobs.slice(0, 2 * JOBS_PER_CALL))
      let next = 0
      const start = performance.now()
      const lane = async (): Promise<void> => {
        while (next < count) {
          const part = jobs.slice(next, next += JOBS_PER_CALL)
          if ((await verifier.verify(part)).includes(false)) throw new Error('a good signature was refused')
        }
      }
      await Promise.all(Array.from({ length: Math.ceil(flight / JOBS_PER_CALL) }, lane))
      const seconds = (performance.now() - start) / 1000
      await verifier.close()
      return count / seconds
    },

    /**
     * Applies a trace to a text: as the ranges that clients write, the concurrent one as single characters, because only those give
     * exactly the recorded text. `settle` after every node, as a reader would who looks at each, or once at the end.
     */
    replay ({ trace: name, most, runs, settle }: { trace: TraceName, most: number, runs: number, settle: 'each' | 'end' }): Replayed {
      const trace = traceOf(name, most)
      const edits = editsToOps(trace, name === 'concurrent' ? 'characters' : 'ranges')
      const nodes = Array.from(edits, ({ author, lamport, op }, i) => ({ key: { id: standInId(i), author, lamport }, ops: [op] }))
      const seconds = repeat(runs, () => {
        const text = createText()
        for (const { key, ops } of nodes) {
          text.apply(key, ops)
          if (settle === 'each') text.settle()
        }
        text.settle()
        return text
      }, (text) => { if (trace.endContent !== '') check(text.toString(), trace.endContent) })
      return { edits: nodes.length, seconds }
    },

    /** The sequential trace as nodes: encoded, hashed, appended to a dag and applied to a text; unsigned. */
    async build ({ most, runs }: { most: number, runs: number }): Promise<Replayed> {
      const blake3 = await loadBlake3()
      const author = authorKey(0).publicKey
      const ops = sequentialOps(most, author)
      return { edits: ops.length, seconds: repeat(runs, () => buildNodes(ops, author, blake3), (nodes) => check(nodes, ops.length)) }
    },

    traces: (): boolean => tracesPresent(),

    stop (): void {}
  }
}

function startPlatformThread (): Worker {
  return new Worker(new URL('./platform-worker.js', import.meta.url))
}

/** Once without a measurement, as the other scenarios do: it meets code that is not optimised yet. */
function repeat<Result> (runs: number, work: () => Result, prove: (result: Result) => void): number[] {
  prove(work())
  return Array.from({ length: runs }, () => {
    const start = performance.now()
    const result = work()
    const seconds = (performance.now() - start) / 1000
    prove(result)
    return seconds
  })
}

function check<Value> (got: Value, expected: Value): void {
  if (got !== expected) throw new Error('the result is not what it has to be')
}

function buildNodes (ops: readonly TextOp[], author: Uint8Array, blake3: Blake3): number {
  const build = createNodeBuilder(blake3)
  const dag = createDag(blake3)
  const text = createText()
  let parents: Uint8Array[] = []
  for (let i = 0; i < ops.length; i++) {
    const own = [ops[i]]
    const node = build({ author, lamport: i + 1, wallMs: 0, ops: own, parents })
    const id = node.subarray(0, ID_LENGTH)
    dag.append(scanNode(cursor(node)))
    text.apply({ id, author, lamport: i + 1 }, own)
    parents = [id]
  }
  text.settle()
  return dag.size
}
