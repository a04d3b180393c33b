import { once } from 'node:events'
import { NodalmergeError } from '../errors.js'
import type { BlobContent, BlobStore } from '../store/blob-store.js'

/** The calls that can be made to fail or to wait; `list` fails when its iteration begins. */
export type BlobCall = Exclude<keyof BlobStore, 'manifest'>

/** A blob store that misbehaves on command, to see what its users make of it. */
export interface FaultyBlobs extends BlobStore {
  /** The next `times` calls throw `error`. Defaults: every call until `heal`, `store.failed`. */
  fail (call: BlobCall, error?: Error, times?: number): void
  /** Calls wait, until the returned function is called. */
  hold (call: BlobCall): () => void
  /** Streams of `get` and `encoded` break after this many bytes. */
  cut (afterBytes: number): void
  /** Takes back `fail` and `cut`; does not release what `hold` holds. */
  heal (): void
  /** How often each call was made, the failed ones included. */
  readonly calls: ReadonlyMap<BlobCall, number>
}

type Faults = Pick<FaultyBlobs, 'fail' | 'hold' | 'cut' | 'heal' | 'calls'> & {
  enter (call: BlobCall): Promise<void>
  maybeCut (content: BlobContent | null): BlobContent | null
}

function createFaults (): Faults {
  const calls = new Map<BlobCall, number>()
  const failures = new Map<BlobCall, { error: Error, left: number }>()
  const gates = new Map<BlobCall, Promise<unknown>>()
  let cutAfter = Infinity
  return {
    calls,
    async enter (call) {
      calls.set(call, (calls.get(call) ?? 0) + 1)
      await gates.get(call)
      const failure = failures.get(call)
      if (failure === undefined || failure.left === 0) return
      failure.left--
      throw failure.error
    },
    maybeCut: (content) => content === null ? null : { size: content.size, stream: shortened(content.stream, () => cutAfter) },
    fail (call, error = new NodalmergeError('store.failed'), times = Infinity) { failures.set(call, { error, left: times }) },
    hold (call) {
      const gate = new AbortController()
      gates.set(call, once(gate.signal, 'abort'))
      return () => {
        gates.delete(call)
        gate.abort()
      }
    },
    cut (afterBytes) { cutAfter = afterBytes },
    heal () {
      failures.clear()
      cutAfter = Infinity
    }
  }
}

async function * shortened (stream: AsyncIterable<Uint8Array>, limit: () => number): AsyncGenerator<Uint8Array> {
  let size = 0
  for await (const chunk of stream) {
    size += chunk.length
    if (size > limit()) throw new NodalmergeError('store.failed', 'cut on command')
    yield chunk
  }
}

export function faultyBlobs (inner: BlobStore): FaultyBlobs {
  const { enter, maybeCut, ...commands } = createFaults()
  async function through<T> (call: BlobCall, work: () => Promise<T>): Promise<T> {
    await enter(call)
    return await work()
  }
  return {
    ...commands,
    manifest: inner.manifest,
    open: () => through('open', () => inner.open()),
    close: () => through('close', () => inner.close()),
    check: () => through('check', () => inner.check()),
    stat: (hash) => through('stat', () => inner.stat(hash)),
    get: (hash, range) => through('get', async () => maybeCut(await inner.get(hash, range))),
    encoded: (hash) => through('encoded', async () => maybeCut(await inner.encoded(hash))),
    put: (hash, body, limits) => through('put', () => inner.put(hash, body, limits)),
    delete: (hash) => through('delete', () => inner.delete(hash)),
    async * list () {
      await enter('list')
      yield * inner.list()
    },
    presign: (op, hash, about) => through('presign', () => inner.presign(op, hash, about)),
    verifyUploaded: (hash) => through('verifyUploaded', () => inner.verifyUploaded(hash))
  }
}
