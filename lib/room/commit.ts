import type { NodeStore } from '../store/node-store.js'

/** What the commit needs of a room. */
export interface Ledger<Entry> {
  readonly id: string
  /** Highest seq of the room in the store, as far as this process has seen. */
  seq: number
  /** The entries are durable. */
  committed (entries: readonly Entry[]): Promise<void> | void
  /**
   * The store did not take the entries. `later` are entries of the room that wait for the next commit; the answer is what is left of
   * them without those that depend on what failed.
   */
  failed (entries: readonly Entry[], later: readonly Entry[], cause: unknown): Entry[]
  /** Called before the next append after a failure: an append that threw may have been kept all the same. */
  recover (): Promise<void>
}

export interface Committer<Entry> {
  submit (ledger: Ledger<Entry>, entries: readonly Entry[]): void
  /** Resolves when nothing waits and nothing is under way. */
  idle (): Promise<void>
}

interface Batch<Entry> { ledger: Ledger<Entry>, entries: Entry[] }

/**
 * One durable append at a time for all rooms. What arrives while a commit is under way gathers for the next one, so the cost of
 * making things durable is shared by everybody who waits for it (design §4, persist).
 */
export function createCommitter<Entry extends { bytes: Uint8Array }> (store: NodeStore, commitBytes: number): Committer<Entry> {
  let gathered = new Map<Ledger<Entry>, Entry[]>()
  const doubtful = new Set<Ledger<Entry>>()
  let running: Promise<void> | null = null
  let settling: Promise<void> = Promise.resolve()

  function submit (ledger: Ledger<Entry>, entries: readonly Entry[]): void {
    if (entries.length === 0) return
    const waiting = gathered.get(ledger)
    if (waiting === undefined) gathered.set(ledger, [...entries])
    else for (const entry of entries) waiting.push(entry)
    running ??= Promise.resolve().then(run)
  }

  async function run (): Promise<void> {
    while (gathered.size > 0) {
      const batch = gather()
      const outcome = await commit(batch)
      // The next commit goes to the disk while this one's nodes are indexed; `settling` keeps the order of the indexing.
      const settled = settling
      settling = settled.then(() => outcome(batch))
      if (gathered.size === 0) await settling
    }
    running = null
  }

  /** Takes whole rooms while they fit, and the head of a room that alone exceeds a commit. */
  function gather (): Array<Batch<Entry>> {
    const batch: Array<Batch<Entry>> = []
    const rest = new Map<Ledger<Entry>, Entry[]>()
    let budget = commitBytes
    for (const [ledger, entries] of gathered) {
      let taken = 0
      while (taken < entries.length && budget > 0) budget -= entries[taken++].bytes.length
      if (taken > 0) batch.push({ ledger, entries: taken === entries.length ? entries : entries.slice(0, taken) })
      if (taken < entries.length) rest.set(ledger, entries.slice(taken))
    }
    gathered = rest
    return batch
  }

  async function commit (batch: Array<Batch<Entry>>): Promise<(batch: Array<Batch<Entry>>) => Promise<void> | void> {
    try {
      if (doubtful.size > 0) await recover(batch)
      const appended = await store.append(batch.map(({ ledger, entries }) =>
        ({ room: ledger.id, after: ledger.seq, nodes: entries.map((entry) => entry.bytes) })))
      batch.forEach(({ ledger }, i) => { ledger.seq = appended[i].last })
      return succeed
    } catch (cause) {
      fail(batch, cause)
      return () => {}
    }
  }

  async function recover (batch: Array<Batch<Entry>>): Promise<void> {
    await settling
    for (const { ledger } of batch) {
      if (!doubtful.has(ledger)) continue
      await ledger.recover()
      doubtful.delete(ledger)
    }
  }

  async function succeed (batch: Array<Batch<Entry>>): Promise<void> {
    for (const { ledger, entries } of batch) await ledger.committed(entries)
  }

  function fail (batch: Array<Batch<Entry>>, cause: unknown): void {
    for (const { ledger, entries } of batch) {
      doubtful.add(ledger)
      const left = ledger.failed(entries, gathered.get(ledger) ?? [], cause)
      if (left.length > 0) gathered.set(ledger, left)
      else gathered.delete(ledger)
    }
  }

  return {
    submit,
    async idle () {
      for (let work = running; work !== null; work = running) await work
      await settling
    }
  }
}
