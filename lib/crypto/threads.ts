import { Worker } from 'node:worker_threads'
import { type Batch, packBatch, settleBatch } from './batch.js'

/** What is needed of a worker thread. */
export type Thread = Pick<Worker, 'on' | 'postMessage' | 'ref' | 'unref' | 'terminate'>

/** The worker's file lies beside this one: `.js` when built, `.ts` in tests. */
export function startThread (): Thread {
  return new Worker(new URL('./worker' + import.meta.url.slice(-3), import.meta.url), { name: 'nodalmerge-verify' })
}

/** Batches given to one worker at a time: one in work, one waiting, so that it never idles between two. */
const FLIGHTS = 2

/** Workers that died one after the other without having answered anything; the next would die, too. */
const DEATHS = 3

export interface Threads {
  /** Whether batches may be given; false once the workers were given up or closed. */
  readonly alive: boolean
  /** Whether no worker has anything to do. */
  readonly idle: boolean
  run (batches: readonly Batch[]): void
  close (): Promise<void>
}

export interface ThreadsOptions {
  count: number
  start (): Thread
  /** Receives the batches that no worker will answer any more. */
  abandon (batches: readonly Batch[]): void
  /** Hears of every worker that died; its work is not lost. */
  report (cause: unknown): void
}

interface Member { thread: Thread, flights: Batch[] }

/**
 * A few worker threads, started when they are first needed. They keep the process alive only while they have work. A worker that dies
 * is replaced and its batches are done again.
 */
export function createThreads (options: ThreadsOptions): Threads {
  const members = new Set<Member>()
  const queue: Batch[] = []
  let deaths = 0
  let alive = options.count > 0

  function feed (): void {
    while (queue.length > 0) {
      const member = choose(members, options.count) ?? start()
      if (member.flights.length === FLIGHTS) return
      give(member, queue.splice(0, 1)[0])
    }
  }

  function start (): Member {
    const member: Member = { thread: options.start(), flights: [] }
    members.add(member)
    member.thread.unref()
    member.thread.on('message', (answers: Uint8Array) => {
      deaths = 0
      const batch = take(member)
      feed()
      settleBatch(batch, answers)
    })
    member.thread.on('error', (cause) => { options.report(cause) })
    member.thread.on('exit', () => { bury(member) })
    return member
  }

  function bury (member: Member): void {
    members.delete(member)
    queue.unshift(...member.flights)
    if (++deaths === DEATHS) alive = false
    if (alive) feed()
    else options.abandon(queue.splice(0))
  }

  return {
    get alive () { return alive },
    get idle () { return queue.length === 0 && [...members].every(({ flights }) => flights.length === 0) },
    run (batches) {
      queue.push(...batches)
      feed()
    },
    async close () {
      alive = false
      await Promise.all(Array.from(members, async ({ thread }) => await thread.terminate()))
    }
  }
}

/** The least busy worker, or null when it has work and another may be started. */
function choose (members: ReadonlySet<Member>, count: number): Member | null {
  const best = [...members].reduce<Member | null>((a, b) => a === null || b.flights.length < a.flights.length ? b : a, null)
  return best === null || (best.flights.length > 0 && members.size < count) ? null : best
}

function give (member: Member, batch: Batch): void {
  if (member.flights.push(batch) === 1) member.thread.ref()
  const items = packBatch(batch)
  member.thread.postMessage(items, [items.buffer])
}

/** The batch that was answered: a worker answers in order. */
function take (member: Member): Batch {
  const [batch] = member.flights.splice(0, 1)
  if (member.flights.length === 0) member.thread.unref()
  return batch
}
