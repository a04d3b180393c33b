import { NodalmergeError } from '../errors.js'
import type { NodeStore } from '../store/node-store.js'

/** What can be disturbed: everything a store is asked for. */
export type NodeStoreMethod = Exclude<keyof NodeStore, 'manifest'>

export interface Failure {
  /** How many calls fail, at least 1; the rest pass. Default 1. */
  times?: number
  /** Do the work all the same and fail then, like a commit whose answer was lost. Default false: nothing is done. */
  kept?: boolean
  /** What is thrown. Default: a `NodalmergeError` with `store.failed`. */
  error?: Error
}

export interface NodeStoreFaults {
  /** Makes the next calls of a method fail. Failures of one method queue up. */
  fail (method: NodeStoreMethod, failure?: Failure): void
  /** Keeps every call of a method from starting until the returned function is called. */
  hold (method: NodeStoreMethod): () => void
  /** Resolves when this many calls of a method are being held, at once if they are. */
  held (method: NodeStoreMethod, count?: number): Promise<void>
  /** How often a method was called, failed and held calls included. */
  calls (method: NodeStoreMethod): number
}

export type FaultyNodeStore = NodeStore & { readonly faults: NodeStoreFaults }

/** How one method is disturbed at the moment. */
interface Fault { calls: number, failures: Required<Failure>[], gate: Promise<void> | null, held: number, watchers: (() => void)[] }

/** A store that fails, stalls and forgets to answer on command, around one that works: for testing what uses it. */
export function faultyNodeStore (store: NodeStore): FaultyNodeStore {
  const faults = new Map<NodeStoreMethod, Fault>()
  const fault = (method: NodeStoreMethod): Fault => {
    const known = faults.get(method) ?? { calls: 0, failures: [], gate: null, held: 0, watchers: [] }
    faults.set(method, known)
    return known
  }
  const call = async <T>(method: NodeStoreMethod, work: () => Promise<T>): Promise<T> => {
    const failure = await enter(fault(method))
    if (failure?.kept === false) throw failure.error
    const answer = await work()
    if (failure !== undefined) throw failure.error
    return answer
  }
  const walk = async function * <T>(method: NodeStoreMethod, items: () => AsyncIterable<T>): AsyncGenerator<T> {
    const failure = await enter(fault(method))
    if (failure?.kept === false) throw failure.error
    yield * items()
    if (failure !== undefined) throw failure.error
  }

  return {
    manifest: store.manifest,
    faults: controls(fault),
    open: () => call('open', () => store.open()),
    close: () => call('close', () => store.close()),
    check: () => call('check', () => store.check()),
    load: (...args) => walk('load', () => store.load(...args)),
    append: (appends) => call('append', () => store.append(appends)),
    rooms: () => walk('rooms', () => store.rooms()),
    version: (room) => call('version', () => store.version(room)),
    state: (room) => call('state', () => store.state(room)),
    putState: (room, state) => call('putState', () => store.putState(room, state))
  }
}

/** Counts a call, waits while it is held, and takes the failure it is to meet. */
async function enter (fault: Fault): Promise<Required<Failure> | undefined> {
  fault.calls++
  const failure = fault.failures[0]
  if (failure !== undefined && --failure.times === 0) fault.failures.shift()
  if (fault.gate !== null) {
    fault.held++
    fault.watchers.forEach((watch) => { watch() })
    await fault.gate
    fault.held--
  }
  return failure
}

function controls (fault: (method: NodeStoreMethod) => Fault): NodeStoreFaults {
  return {
    fail (method, { times = 1, kept = false, error = new NodalmergeError('store.failed') } = {}) {
      if (!(times >= 1)) throw new RangeError('a failure happens at least once')
      fault(method).failures.push({ times, kept, error })
    },
    hold (method) {
      const held = fault(method)
      const waiting: (() => void)[] = []
      const gate = new Promise<void>((resolve) => { waiting.push(resolve) })
      held.gate = gate
      return () => {
        if (held.gate === gate) held.gate = null
        waiting.forEach((go) => { go() })
      }
    },
    held: (method, count = 1) => new Promise((resolve) => {
      const watched = fault(method)
      const watch = (): void => { if (watched.held >= count) resolve() }
      watched.watchers.push(watch)
      watch()
    }),
    calls: (method) => fault(method).calls
  }
}
