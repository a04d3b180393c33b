import type { Clock } from '../clock.js'
import type { Blake3 } from '../protocol/blake3.js'
import { MIN_NODE_LENGTH, type NodeView, bytesOf, count, scanNode } from '../protocol/node.js'
import { cursor } from '../protocol/postcard.js'
import { type Problem, createAdmission } from './admission.js'
import type { Ed25519 } from './ed25519.js'
import { type Orphans, createOrphans, unboundedOrphans } from './orphans.js'
import type { Replica } from './replica.js'
import { createSearch } from './search.js'
import { createSlice, drive } from './slice.js'

/**
 * The way in for nodes of others (spec/wire-format.md §5.4). One bad node is reported and left out; it never takes others with it
 * (spec/client.md §11.2, C3). Work is done in small pieces, so that no frame of the screen waits for it.
 */
export interface Intake {
  /** Takes in a pack; packs are worked off in the order in which they come. */
  pack (bytes: Uint8Array): void
  /** Takes in what was stored, in any order: trusted for signature and ceiling, checked for id (design §5 row 25). */
  stored (bytes: Uint8Array): Promise<void>
  /** Whether a stored node is what its id says; one that is not is told. */
  intact (node: NodeView): boolean
  /** A pending node has become confirmed: what waits for it may come in. */
  release (key: string): void
  /** Resolves when everything that came is taken in. */
  idle (): Promise<void>
  close (): void
}

export interface IntakeParts {
  replica: Replica
  blake3: Blake3
  ed25519: Ed25519
  clock: Clock
  /** Called before nodes are taken in, once for each piece of work. */
  before: () => void
  /** Called after a piece of work; `changed` says whether a node came in or was confirmed. */
  after: (changed: boolean) => void
  /** Every node of a pack: the server holds it. */
  seen: (node: NodeView) => void
  /** A pack was worked off; `nodes` is how many it held. */
  done: (nodes: number) => void
  /** Asks the server for nodes by id; `attempt` counts how often that was done. */
  ask: (ids: readonly Uint8Array[], attempt: number) => void
  /** Packs were dropped because they came faster than they could be worked off; called when there is room again. */
  overrun: () => void
  problem: (problem: Problem) => void
}

/** Signatures verified together; two such groups are under way at once. */
const GROUP = 32
/** Packs that wait, in bytes. A server that sends more is asked again for what was dropped. */
const BACKLOG_BYTES = 64 * 1024 * 1024

export function createIntake (parts: IntakeParts): Intake {
  const orphans = createOrphans((node) => scanNode(cursor(bytesOf(node).slice())))
  /** Nodes of several tabs are stored in any order; what storage holds is bounded by itself. */
  const strays = unboundedOrphans()
  const admission = createAdmission({ ...parts, orphans })
  const search = createSearch(orphans, parts.clock, parts.ask)
  let tail = Promise.resolve()
  let backlog = 0
  let dropped = false
  let closed = false

  /** Hashing and verifying a group overlaps with taking in the one before. */
  async function take (bytes: Uint8Array): Promise<void> {
    const slice = createSlice()
    // An original server sends a history in no order at all: within a pack everything may wait, which is in memory anyway.
    const within = unboundedOrphans()
    let total = 0
    let ahead: Promise<NodeView[]> = Promise.resolve([])
    const broken = (error: unknown): void => parts.problem({ code: 'reject.protocol_invalid_message', message: String(error) })
    for (const nodes of groupsOf(bytes, broken)) {
      if (closed) return
      total += nodes.length
      for (const node of nodes) parts.seen(node)
      const { fresh, echoed } = admission.sift(nodes)
      const before = ahead
      ahead = admission.verified(fresh)
      // Told in the same breath as applied: an edit made in between would count from positions that nobody was told of.
      parts.after(attach(await before, within) || echoed)
      if (slice.due()) await slice.rest()
    }
    parts.after(attach(await ahead, within))
    for (const [node, parent] of within.all()) orphans.add(node, parent)
    search.look()
    parts.done(total)
  }

  function attach (nodes: readonly NodeView[], within: Orphans): boolean {
    if (nodes.length === 0 || closed) return false
    parts.before()
    let any = false
    for (const node of nodes) any = admission.admit(node, within) || any
    return any
  }

  function * restore (bytes: Uint8Array): Generator<void, void> {
    for (const nodes of groupsOf(bytes, (error) => parts.problem({ code: 'client.storage', message: String(error) }))) {
      for (const node of nodes) if (admission.intact(node)) admission.admit(node, strays, Infinity)
      yield
    }
  }

  function finished (size: number): void {
    backlog -= size
    if (!dropped || backlog > 0) return
    dropped = false
    parts.overrun()
  }

  return {
    pack (bytes) {
      if (closed) return
      if (backlog > 0 && backlog + bytes.length > BACKLOG_BYTES) {
        dropped = true
        return
      }
      backlog += bytes.length
      tail = tail.then(() => take(bytes))
        .catch((error: unknown) => parts.problem({ code: 'reject.internal', message: String(error) }))
        .then(() => finished(bytes.length))
    },
    stored: (bytes) => drive(restore(bytes)),
    intact: admission.intact,
    release (key) {
      for (const node of orphans.release(key)) admission.admit(node, orphans)
    },
    async idle () { await tail },
    close () {
      closed = true
      search.close()
    }
  }
}

/** The nodes of a pack in groups. A pack that breaks off gives what stood before; `broken` is told. */
function * groupsOf (bytes: Uint8Array, broken: (error: unknown) => void): Generator<NodeView[], void> {
  const c = cursor(bytes)
  let group: NodeView[] = []
  try {
    for (let left = count(c, MIN_NODE_LENGTH); left > 0; left--) {
      group.push(scanNode(c))
      if (group.length < GROUP) continue
      yield group
      group = []
    }
  } catch (error) {
    broken(error)
  }
  if (group.length > 0) yield group
}
