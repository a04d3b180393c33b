import { availableParallelism } from 'node:os'
import type { Verifier } from '../protocol/crypto.js'
import { type Part, cut, size, verifyHere } from './batch.js'
import { REMEMBERED_KEYS, createSignatureCheck } from './ed25519.js'
import { fastestKeys } from './native.js'
import { type Thread, createThreads, startThread } from './threads.js'

export interface VerifierOptions {
  /** Worker threads; 0 verifies on the main thread. Default: one for each processor, at most 2. */
  threads?: number
  /** Fewer jobs than this in one turn of the event loop are verified on the main thread, unless it just did. Default 16. */
  inlineBelow?: number
  /** Hears of a worker that died; its work is done again. */
  report?: (cause: unknown) => void
  /** Starts a worker thread that runs `worker.js`, for builds that move that file. */
  start?: () => Thread
  /** A clock in milliseconds that never goes back. Default `performance.now`. */
  now?: () => number
}

/** A batch costs the main thread some 20 µs whatever its size: not worth it for fewer jobs; larger ones are shared out unevenly. */
const BATCH_MIN = 16
const BATCH_MAX = 256

/** Longest time in milliseconds that the event loop stands still for signatures verified on it. */
const SLICE = 2

/**
 * After verifying here the event loop is left alone for so many times as long. One signature here and there is answered at once; under a
 * steady trickle the workers take over, at 8 µs of this thread each instead of 70.
 */
const PAUSE = 9

/** So few jobs in a turn while the workers idle are one client waiting for its answer: waking a thread would cost it more than the work. */
const FEW = 2

/**
 * Verifies signatures in batches on worker threads, a few at a time where it stands (design §4, Crypto). The jobs of one turn of the
 * event loop are gathered. After `close` everything is verified on the main thread.
 */
export function createVerifier (options: VerifierOptions = {}): Verifier {
  const { threads: count = Math.min(2, availableParallelism()), inlineBelow = 16, report = () => {}, start = startThread } = options
  const { now = () => performance.now() } = options
  const check = createSignatureCheck(REMEMBERED_KEYS, fastestKeys())
  const verifySlice = (parts: readonly Part[]) => {
    const end = now() + SLICE
    return verifyHere(parts, check, () => now() >= end)
  }
  const later = createLater(verifySlice)
  const threads = createThreads({ count, start, report, abandon: (batches) => { later(batches.flat()) } })
  let gathered: Part[] = []
  let restUntil = 0

  function flush (): void {
    const parts = gathered
    gathered = []
    if (!threads.alive) later(parts)
    else if (isSmall(size(parts))) dispatch(here(parts))
    else dispatch(parts)
  }

  function isSmall (jobs: number): boolean {
    return jobs < inlineBelow && (now() >= restUntil || (jobs <= FEW && threads.idle))
  }

  function here (parts: readonly Part[]): Part[] {
    const from = now()
    const left = verifySlice(parts)
    const to = now()
    restUntil = to + PAUSE * (to - from)
    return left
  }

  function dispatch (parts: readonly Part[]): void {
    const most = Math.ceil(size(parts) / count)
    threads.run(cut(parts, Math.min(BATCH_MAX, Math.max(BATCH_MIN, most))))
  }

  return {
    async verify (jobs) {
      if (jobs.length === 0) return []
      if (gathered.length === 0) setImmediate(flush)
      return await new Promise((resolve) => {
        const call = { jobs, answers: jobs.map(() => false), left: jobs.length, resolve }
        gathered.push({ call, from: 0, to: jobs.length })
      })
    },
    close: () => threads.close()
  }
}

/** Verifies on the main thread, a slice in each turn of the event loop. */
function createLater (verifySlice: (parts: readonly Part[]) => Part[]): (parts: readonly Part[]) => void {
  let waiting: Part[] = []

  function slice (): void {
    waiting = verifySlice(waiting)
    if (waiting.length > 0) setImmediate(slice)
  }

  return (parts) => {
    if (waiting.length === 0 && parts.length > 0) setImmediate(slice)
    waiting.push(...parts)
  }
}
