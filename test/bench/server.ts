import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import Fastify, { type FastifyInstance } from 'fastify'
import nodalmerge, { levelNodes, memoryNodes } from '../../lib/index.js'
import type { Blake3 } from '../../lib/protocol/blake3.js'
import { loadBlake3 } from '../../lib/protocol/blake3-wasm.js'
import { ID_LENGTH, encodeNode, encodeTransaction } from '../../lib/protocol/node.js'
import type { NodeStore } from '../../lib/store/node-store.js'
import { authorKey, chain, nodesOf, opsOf, pretender } from './corpus.js'
import { type Listening, startPlain } from './plain.js'
import { signedTrace } from './trace.js'

export interface Usage {
  /** Processor time of all threads so far, in seconds. */
  cpu: number
  /** Resident bytes, and those of them that are files mapped by the store: the system takes these back when it needs them. */
  rss: number
  mapped: number
  heap: number
  /** Bytes of buffers outside the heap. */
  buffers: number
}

export interface Start {
  /** What to run: nodes in memory, nodes in LevelDB below `folder`, or plain ws. */
  kind: 'memory' | 'durable' | 'plain'
  folder?: string
  /** Threads that verify signatures, when not as many as usual. */
  threads?: number
}

/**
 * Nodes put into the store itself, before the room is opened: that many keystrokes of one author with filler signatures, or the
 * beginning of the trace. `recall` are positions whose ids are asked for.
 */
export interface Seed { room: string, nodes: number | { trace: number }, recall?: readonly number[] }

/** Ids in hexadecimal, in the order of `recall`. */
export interface Seeded { bytes: number, ids: string[] }

export type ServerCommands = ReturnType<typeof commands>

/** Nodes appended to a store at once. */
const BATCH = 4096

/** No rate may stand in the way of a measurement. */
const LIMITS = { nodesPerSecond: 0, bytesPerSecond: 0, messagesPerSecond: 0, readsPerSecond: 0, idleMs: 0 }

/** The process under test. */
export function commands () {
  let listening: Listening | null = null
  let app: FastifyInstance | null = null
  let store: NodeStore | null = null

  async function startOurs ({ kind, folder = '.', threads }: Start): Promise<Listening> {
    const nodes = kind === 'memory' ? memoryNodes() : levelNodes({ path: join(folder, 'nodes') })
    const own = Fastify()
    await own.register(nodalmerge, { nodes, limits: LIMITS, ...(kind === 'durable' ? { data: folder } : {}), ...(threads === undefined ? {} : { verifyThreads: threads }) })
    await own.listen({ host: '127.0.0.1', port: 0 })
    store = nodes
    app = own
    return { port: (own.server.address() as AddressInfo).port, close: async () => await own.close() }
  }

  return {
    /** Answers the port. */
    async start (what: Start): Promise<number> {
      listening = what.kind === 'plain' ? await startPlain() : await startOurs(what)
      return listening.port
    },

    async seed (seed: Seed): Promise<Seeded> {
      if (store === null) throw new Error('plain ws keeps nothing')
      return await append(store, seed, await loadBlake3())
    },

    async open (room: string): Promise<number> {
      const { nodes } = await app?.nodalmerge.room(room).open() ?? { nodes: 0 }
      return nodes
    },

    /** How much a room holds. */
    async holds (room: string): Promise<{ nodes: number, bytes: number }> {
      const held = { nodes: 0, bytes: 0 }
      for await (const node of app?.nodalmerge.room(room).nodes() ?? []) {
        held.nodes++
        held.bytes += encodeNode(node.id, encodeTransaction(node), node.signature).length
      }
      return held
    },

    /** A text of a room as the server reads it. */
    async text ({ room, key }: { room: string, key: string }): Promise<string> {
      return (await app?.nodalmerge.room(room).state())?.text(key).toString() ?? ''
    },

    /** With `settled`, what is garbage is collected first, where Node was told to offer that. */
    usage (settled: boolean): Usage {
      if (settled) globalThis.gc?.()
      const { user, system } = process.cpuUsage()
      const { rss, heapUsed, arrayBuffers } = process.memoryUsage()
      return { cpu: (user + system) / 1e6, rss, mapped: mappedBytes(), heap: heapUsed, buffers: arrayBuffers }
    },

    async stop (): Promise<void> {
      await listening?.close()
      listening = app = store = null
    }
  }
}

/** Where the system does not tell, nothing counts as mapped. */
function mappedBytes (): number {
  try {
    return 1024 * Number(/^RssFile:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

function generate (count: number, blake3: Blake3): Iterable<Uint8Array> {
  return chain({ signer: pretender(0), blake3, count, opsOf: opsOf('keystroke', authorKey(0).publicKey) })
}

async function append (store: NodeStore, { room, nodes, recall = [] }: Seed, blake3: Blake3): Promise<Seeded> {
  const ids = new Map<number, string>()
  const wanted = new Set(recall)
  let bytes = 0
  let seq = 0
  let batch: Uint8Array[] = []
  const flush = async (): Promise<void> => {
    await store.append([{ room, after: seq - batch.length, nodes: batch }])
    batch = []
  }
  for (const node of typeof nodes === 'number' ? generate(nodes, blake3) : nodesOf(await signedTrace(nodes.trace, blake3))) {
    if (wanted.has(seq)) ids.set(seq, Buffer.from(node.subarray(0, ID_LENGTH)).toString('hex'))
    batch.push(node)
    bytes += node.length
    seq++
    if (batch.length === BATCH) await flush()
  }
  if (batch.length > 0) await flush()
  return { bytes, ids: recall.map((i) => ids.get(i) ?? '') }
}
