import type { Clock } from '../clock.js'
import { encodeNode } from '../protocol/node.js'
import type { PendingNode } from './pending.js'
import type { Replica } from './replica.js'
import type { RoomStorage } from './storage.js'

/**
 * Brings everything into storage: own nodes before they are sent (write-ahead), confirmed ones after. Nodes are signed here, in the
 * order of writing. One write to storage at a time; what comes meanwhile goes with the next.
 */
export interface Journal {
  /** A node was written here. */
  add (node: PendingNode): void
  /** These are not to be kept as pending any longer. They leave storage with the nodes that were added before this call, in one step. */
  drop (ids: readonly Uint8Array[]): void
  /** The dag has grown. */
  touch (): void
  /** Everything in the dag lies in storage already. */
  loaded (): void
  /** Resolves when everything is signed and in storage, or storage has failed. */
  idle (): Promise<void>
  close (): void
}

export interface JournalParts {
  replica: Replica
  storage: RoomStorage
  sign: (message: Uint8Array) => Promise<Uint8Array>
  clock: Clock
  /** These may be sent now, in this order: they are in storage, or it has failed. */
  ready: (nodes: readonly PendingNode[]) => void
  /** Something reached storage. */
  saved: () => void
  /** Storage has failed and is tried again every few seconds, or works again (null). */
  failing: (error: unknown) => void
}

/** Signatures asked for at once. */
const SIGN_TOGETHER = 64
/** Confirmed bytes of one write: a long catch-up does not become one huge batch. */
const WRITE_BYTES = 4 * 1024 * 1024
const RETRY_MS = 5000

export function createJournal (parts: JournalParts): Journal {
  const { replica, storage, clock } = parts
  /** Not signed yet. */
  let added: PendingNode[] = []
  let dropped: Uint8Array[] = []
  /** Signed, and with what leaves in the same step: the next write to storage. */
  let next: { nodes: PendingNode[], dropped: Uint8Array[] } = { nodes: [], dropped: [] }
  /** Index of the dag up to which storage has it. */
  let kept = 0
  let running: Promise<void> | null = null
  /** Why nothing is tried until the timer runs out: signing stands still, or only storage does. */
  let broken: 'signing' | 'storage' | null = null
  let cancelRetry = (): void => {}

  function work (): boolean {
    if (broken === 'signing') return false
    return added.length > 0 || dropped.length > 0 || (broken === null && (next.nodes.length > 0 || next.dropped.length > 0 || kept < replica.dag.size))
  }

  function start (): void {
    running ??= run()
  }

  async function run (): Promise<void> {
    try {
      // What is written in one turn goes together.
      await null
      while (work()) await step()
    } finally {
      running = null
    }
  }

  async function step (): Promise<void> {
    const fresh = added
    const gone = dropped
    added = []
    dropped = []
    try {
      await signAll(fresh, parts.sign)
    } catch (error) {
      added = [...fresh, ...added]
      dropped = [...gone, ...dropped]
      return fail('signing', error)
    }
    for (const node of fresh) next.nodes.push(node)
    for (const id of gone) next.dropped.push(id)
    if (broken === null) await store()
    for (const node of fresh) node.ready = true
    parts.ready(fresh.filter((node) => !node.gone))
  }

  async function store (): Promise<void> {
    const to = batchEnd()
    const confirmed: Uint8Array[] = []
    for (let index = kept; index < to; index++) confirmed.push(replica.dag.bytes(index))
    try {
      await storage.write({ pending: next.nodes.flatMap((node) => node.gone || node.bytes === null ? [] : [node.bytes]), confirmed, dropped: next.dropped })
    } catch (error) {
      return fail('storage', error)
    }
    for (const node of next.nodes) replica.pending.markSaved(node)
    next = { nodes: [], dropped: [] }
    kept = to
    if (failed) parts.failing(null)
    failed = false
    parts.saved()
  }

  function batchEnd (): number {
    let to = kept
    for (let bytes = 0; to < replica.dag.size && bytes < WRITE_BYTES; to++) bytes += replica.dag.length(to)
    return to
  }

  let failed = false
  function fail (what: 'signing' | 'storage', error: unknown): void {
    failed = true
    broken = what
    cancelRetry = clock.after(RETRY_MS, () => {
      broken = null
      start()
    })
    parts.failing(error)
  }

  return {
    add (node) {
      added.push(node)
      start()
    },
    drop (ids) {
      for (const id of ids) dropped.push(id)
      start()
    },
    touch: start,
    loaded () { kept = replica.dag.size },
    idle: async () => { await running },
    close () { cancelRetry() }
  }
}

async function signAll (nodes: readonly PendingNode[], sign: (message: Uint8Array) => Promise<Uint8Array>): Promise<void> {
  const unsigned = nodes.filter((node) => node.bytes === null)
  for (let at = 0; at < unsigned.length; at += SIGN_TOGETHER) {
    await Promise.all(unsigned.slice(at, at + SIGN_TOGETHER).map(async (node) => {
      node.bytes = encodeNode(node.id, node.transaction, await sign(node.id))
    }))
  }
}
