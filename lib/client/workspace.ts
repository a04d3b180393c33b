import { type Clock, systemClock } from '../clock.js'
import { NodalmergeError } from '../errors.js'
import type { Op } from '../protocol/op.js'
import type { Change } from '../state/change.js'
import type { Document } from '../state/document.js'
import type { Held } from '../state/map.js'
import type { Splice } from '../state/text.js'
import { type Aliases, createAliases } from './aliases.js'
import { type Cause, addChange, addSplices, eventOf, noChange } from './change.js'
import type { Core, WrittenNode } from './core.js'
import type { Entry } from './entry.js'
import { type Feed, createFeed } from './feed.js'
import { type Stage, createStage } from './stage.js'
import { writeEdits } from './text-write.js'
import { type Typing, createTyping } from './typing.js'

/** Where blobs are kept; `put` answers their hash as 64 hexadecimal digits. */
export interface BlobSource {
  put (data: Uint8Array | BlobLike, options?: { contentType?: string }): Promise<string>
  get (hash: string, options?: { signal?: AbortSignal }): Promise<Uint8Array | undefined>
}

/** What is needed of a browser's Blob. */
export interface BlobLike { readonly size: number, readonly type: string, arrayBuffer (): Promise<ArrayBuffer> }

export interface WorkspaceOptions {
  clock?: Clock
  /** How long typing is gathered before it becomes nodes, in milliseconds; 0 for every edit its own. Default 20. */
  flushMs?: number
  blobs?: BlobSource
  /** Gets what listeners throw; by default it is thrown where nobody can catch it. */
  onError?: (error: unknown) => void
  /** For item ids. Default: the platform's generator. */
  randomBytes?: (length: number) => Uint8Array
}

/** What a transaction did, for undo managers. */
export interface Done extends Cause {
  entries: readonly Entry[]
  /** When the first of it was done: typing may have waited. Unix milliseconds. */
  since: number
}

/**
 * The writing side of a document, shared by its handles: transactions, what is staged in them, what is being typed, and who is told.
 * Only one text is being typed in at a time, so that edits become nodes in the order in which they were made.
 */
export interface Workspace {
  readonly core: Core
  readonly document: Document
  readonly feed: Feed
  readonly aliases: Aliases
  readonly stage: Pick<Stage, 'held' | 'has' | 'keys' | 'drop'>
  readonly clock: Clock
  readonly blobs: BlobSource | undefined
  readonly onError: (error: unknown) => void
  /** The origin of the running transaction. */
  readonly origin: unknown
  randomBytes (length: number): Uint8Array
  /**
   * Runs `fn`; what it writes makes one change event and one undo step. Map writes become one node, each run of text and each list
   * operation one of its own. When `fn` throws, what it wrote stays. Inside another transaction it joins that one.
   */
  transact<R> (fn: () => R, options?: { origin?: unknown }): R
  /** Ends, as far as undo managers and events go, what was typed and what the running transaction wrote so far. */
  conclude (): void
  /** A transaction of an undo manager, which is its origin; `conclude` comes first. */
  undoing<R> (manager: unknown, fn: () => R): R
  /** Stages a map write of the running transaction. */
  put (key: string, held: Held, item?: { list: string, item: string }): void
  /** Writes a node of the running transaction at once and notes how to undo it. */
  write (ops: readonly Op[], entry?: Entry): WrittenNode
  note (entry: Entry): void
  /** What is being typed in a text, or null. */
  typingIn (key: string): Typing | null
  /** Replaces units of a text as it is shown; neither end lies inside a surrogate pair. */
  type (key: string, splice: Splice): void
  /** Turns what was typed into nodes. */
  flush (): void
  /** Whether something was typed that is no node yet. */
  readonly unflushed: boolean
  onDone (listen: (done: Done) => void): () => void
  /** Flushes and lets go of the core; writing throws `client.closed` from then on. */
  close (): void
}

interface Running { cause: Cause, change: Change, entries: Entry[], since: number }

/** What is being typed; `within` is the last transaction that did. */
interface Typed { key: string, typing: Typing, origin: unknown, within: Running, since: number, cancel: () => void }

/** Creates the writing side of a replica. There is one for each. */
export function createWorkspace (core: Core, options: WorkspaceOptions = {}): Workspace {
  const { clock = systemClock, flushMs = 20, onError = rethrow, randomBytes = platformBytes } = options
  const feed = createFeed(onError)
  const stage = createStage(() => core.views.document.map)
  const aliases = createAliases()
  const listeners = new Set<(done: Done) => void>()
  let running: Running | null = null
  let typed: Typed | null = null
  let told: string | null = null
  let closed = false

  function tell (change: Change, cause: Cause): void {
    const event = eventOf(change, core.views.document.map, cause)
    if (event !== null) feed.publish(event)
  }

  function run<R> (cause: Cause, fn: (own: Running) => R): R {
    if (closed) throw new NodalmergeError('client.closed')
    if (running !== null) return fn(running)
    const own: Running = { cause, change: noChange(), entries: [], since: clock.now() }
    running = own
    try {
      return fn(own)
    } finally {
      try {
        commit(own)
      } finally {
        running = null
        finish(own)
      }
    }
  }

  /** Tells what a transaction did so far. */
  function finish (own: Running): void {
    const { change, entries, since, cause } = own
    own.change = noChange()
    own.entries = []
    own.since = clock.now()
    if (entries.length > 0) for (const listen of [...listeners]) listen({ ...cause, entries, since })
    tell(change, cause)
  }

  /** Typing goes on beyond transactions that do nothing else, so that each keystroke may be one. */
  function commit (own: Running): void {
    if (typed !== null && typed.within === own && (own.entries.length > 0 || stage.keys.size > 0)) flush()
    for (const { ops, entries } of stage.take()) {
      own.entries.push(...entries)
      core.write(ops)
    }
  }

  function flushTyped ({ key, typing, since, cancel }: Typed, own: Running): void {
    typed = null
    cancel()
    if (typing.edits.length === 0) return
    told = key
    own.since = Math.min(own.since, since)
    try {
      own.entries.push(writeEdits(core.write, core.views.document.text(key), key, typing.edits))
    } finally {
      told = null
    }
  }

  /** What other transactions typed is a step of its own. */
  function flush (): void {
    if (typed === null) return
    const mine = typed
    if (mine.within === running) flushTyped(mine, running)
    else apart({ source: 'local', origin: mine.origin }, (own) => flushTyped(mine, own))
  }

  /** A transaction of its own, also inside another. */
  function apart<R> (cause: Cause, fn: (own: Running) => R): R {
    const outer = running
    running = null
    try {
      return run(cause, fn)
    } finally {
      running = outer
    }
  }

  function within (): Running {
    if (running === null) throw new Error('handles write inside transactions')
    if (typed !== null && typed.within !== running) flush()
    return running
  }

  function type (key: string, splice: Splice): void {
    if (running === null) throw new Error('handles write inside transactions')
    if (typed !== null && (typed.key !== key || typed.origin !== running.cause.origin)) flush()
    typed ??= { key, typing: createTyping(), origin: running.cause.origin, within: running, since: clock.now(), cancel: clock.after(flushMs, flush) }
    typed.within = running
    typed.typing.splice(splice.position, splice.deleted, splice.inserted)
    addSplices(running.change, key, [splice])
    if (flushMs <= 0 || typed.typing.full) flush()
  }

  const stops = [
    core.beforeApply(flush),
    core.onRejection(({ renamed = [] }) => { for (const { key, to, ...from } of renamed) aliases.addRun(key, from, to) }),
    core.onChange((change, { from, origin }) => {
      if (running === null) tell(change, { source: from, origin })
      else addChange(running.change, change, told)
    })
  ]

  return {
    core,
    get document () { return core.views.document },
    feed,
    aliases,
    stage,
    clock,
    blobs: options.blobs,
    onError,
    get origin () { return running?.cause.origin },
    randomBytes,
    transact: (fn, { origin } = {}) => run({ source: 'local', origin }, () => fn()),
    conclude () {
      flush()
      if (running === null) return
      commit(running)
      finish(running)
    },
    undoing: (manager, fn) => apart({ source: 'undo', origin: manager }, () => fn()),
    put (key, held, item) {
      within()
      stage.put(key, held, item)
    },
    write (ops, entry) {
      const own = within()
      if (entry !== undefined) own.entries.push(entry)
      return core.write(ops)
    },
    note (entry) { within().entries.push(entry) },
    typingIn: (key) => typed?.key === key ? typed.typing : null,
    type,
    flush,
    get unflushed () { return typed !== null },
    onDone (listen) {
      listeners.add(listen)
      return () => { listeners.delete(listen) }
    },
    close () {
      if (closed) return
      flush()
      closed = true
      for (const stop of stops) stop()
    }
  }
}

function rethrow (error: unknown): void {
  queueMicrotask(() => { throw error })
}

function platformBytes (length: number): Uint8Array {
  return globalThis.crypto.getRandomValues(new Uint8Array(length))
}
