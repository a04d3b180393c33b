import type { Clock } from '../clock.js'
import type { Code } from '../errors.js'
import type { Blake3 } from '../protocol/blake3.js'
import { bytesAt } from '../protocol/bytes.js'
import { toHex } from '../protocol/hex.js'
import { MIN_NODE_LENGTH, type NodeView, authorOf, bytesOf, count, idOf, scanNode, signatureOf, transactionOf } from '../protocol/node.js'
import { cursor } from '../protocol/postcard.js'
import { breathe } from './breath.js'
import type { Ed25519 } from './ed25519.js'
import { keyAt } from '../protocol/id-key.js'
import { type Orphans, createOrphans, unboundedOrphans } from './orphans.js'
import type { Replica } from './replica.js'

/** Something that came from outside and was left out; the rest of what came with it was taken in. */
export interface Problem {
  code: Code
  message: string
  /** Id of the node it is about, in hexadecimal. */
  id?: string
}

/**
 * The way in for nodes of others: decode, known?, hash, signature, ceiling, parents (spec/wire-format.md §5.4). One bad node is
 * reported and left out; it never takes others with it. Work is done in small pieces, so that no frame of the screen waits for it.
 */
export interface Intake {
  /** Takes in a pack; packs are worked off in the order in which they come. */
  pack (bytes: Uint8Array): void
  /** Takes in what was stored, in any order: trusted for signature and ceiling, checked for id (design §5 row 25). */
  stored (bytes: Uint8Array): Promise<void>
  /** A pending node has become confirmed: what waits for it may come in. */
  release (key: string): void
  /** Resolves when everything that came is taken in. */
  idle (): Promise<void>
  readonly orphans: number
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
  /** Asks the server for nodes by id; called again, with a higher number, while they do not come. */
  ask: (ids: readonly Uint8Array[], attempt: number) => void
  /** Packs were dropped because they came faster than they could be worked off; called when there is room again. */
  overrun: () => void
  problem: (problem: Problem) => void
}

/** How far a node's Lamport value may run ahead of what is held (spec/wire-format.md §5.2). */
const LAMPORT_SLACK = 1 << 20
/** Signatures verified together; two such groups are under way at once. */
const GROUP = 32
/** Work between two pauses, in milliseconds: half a frame of the screen. */
const SLICE_MS = 8
/** Packs that wait, in bytes. A server that sends more is asked again for what was dropped. */
const BACKLOG_BYTES = 64 * 1024 * 1024
/** How long a parent may be on its way before it is asked for, in milliseconds (spec/client.md §11.2, C2). */
const ASK_MS = 500
const ASK_MOST_MS = 60_000
const ASK_IDS = 256

export function createIntake (parts: IntakeParts): Intake {
  const { replica, blake3, clock } = parts
  const orphans = createOrphans((node) => scanNode(cursor(bytesOf(node).slice())))
  /** Nodes of several tabs are stored in any order; what storage holds is bounded by itself. */
  const strays = unboundedOrphans()
  let tail = Promise.resolve()
  let backlog = 0
  let dropped = false
  let closed = false
  let cancelAsk: (() => void) | null = null
  let attempts = 0

  /** Takes in a node and whatever waited for it, or lets it wait in `pool`. Answers whether something came in. */
  function admit (first: NodeView, pool: Orphans, ceiling = LAMPORT_SLACK): boolean {
    let any = false
    const ready = [first]
    for (let node = ready.pop(); node !== undefined; node = ready.pop()) {
      if (replica.dag.indexOf(node.bytes, node.start) >= 0) continue
      const missing = replica.missingParent(node)
      if (missing !== null) {
        pool.add(node, missing)
      } else if (node.lamport > replica.clock + ceiling) {
        report(node, 'reject.lamport_ceiling', `lamport ceiling exceeded: ${node.lamport}`)
      } else {
        replica.attach(node)
        any = true
        const key = keyAt(node.bytes, node.start)
        ready.push(...pool.release(key), ...orphans.release(key))
      }
    }
    return any
  }

  function report (node: NodeView, code: Code, message: string): void {
    parts.problem({ code, message, id: toHex(idOf(node)) })
  }

  /** What is new of a group and is what its id says; an echo of a pending node confirms it. */
  function sift (nodes: readonly NodeView[]): { fresh: NodeView[], echoed: boolean } {
    let echoed = false
    const fresh = nodes.filter((node) => {
      parts.seen(node)
      if (replica.dag.indexOf(node.bytes, node.start) >= 0) return false
      const own = replica.pending.get(keyAt(node.bytes, node.start))
      if (own !== undefined) {
        replica.confirm(own)
        echoed = true
        return false
      }
      if (bytesAt(node.bytes, node.start, blake3.hash(transactionOf(node)))) return true
      report(node, 'reject.hash_mismatch', 'the id is not the hash of the transaction')
      return false
    })
    return { fresh, echoed }
  }

  async function verified (nodes: readonly NodeView[]): Promise<NodeView[]> {
    if (nodes.length === 0) return []
    const good = await parts.ed25519.verify(nodes.map((node) => ({ author: authorOf(node), id: idOf(node), signature: signatureOf(node) })))
    return nodes.filter((node, i) => {
      if (!good[i]) report(node, 'reject.invalid_signature', 'the signature does not verify')
      return good[i]
    })
  }

  /** Hashing and verifying a group overlaps with taking in the one before. */
  async function take (bytes: Uint8Array): Promise<void> {
    const slice = createSlice()
    // An original server sends a history in no order at all: within a pack everything may wait, which is in memory anyway.
    const within = unboundedOrphans()
    let total = 0
    let changed = false
    let ahead: Promise<NodeView[]> = Promise.resolve([])
    const groups = groupsOf(bytes, (error) => parts.problem({ code: 'reject.protocol_invalid_message', message: String(error) }))
    for (let group = groups.next(); ; group = groups.next()) {
      const nodes = group.done === true ? [] : group.value
      total += nodes.length
      const { fresh, echoed } = sift(nodes)
      const before = ahead
      ahead = verified(fresh)
      changed = attachAll(await before, within) || echoed || changed
      if (group.done === true || closed) break
      if (slice.due()) {
        parts.after(changed)
        changed = false
        await slice.rest()
      }
    }
    changed = attachAll(await ahead, within) || changed
    for (const [node, parent] of within.all()) orphans.add(node, parent)
    parts.after(changed)
    schedule()
    parts.done(total)
  }

  function attachAll (nodes: readonly NodeView[], within: Orphans): boolean {
    if (nodes.length === 0 || closed) return false
    parts.before()
    let any = false
    for (const node of nodes) any = admit(node, within) || any
    return any
  }

  /** Parents that do not come by themselves are asked for, again and again but ever more seldom. */
  function schedule (): void {
    if (orphans.size === 0) attempts = 0
    if (orphans.size === 0 || closed || cancelAsk !== null) return
    cancelAsk = clock.after(Math.min(ASK_MOST_MS, ASK_MS * 2 ** attempts), () => {
      cancelAsk = null
      if (orphans.size > 0) parts.ask(orphans.wanted(ASK_IDS), attempts++)
      schedule()
    })
  }

  return {
    pack (bytes) {
      if (closed) return
      if (backlog + bytes.length > BACKLOG_BYTES && backlog > 0) {
        dropped = true
        return
      }
      backlog += bytes.length
      tail = tail.then(() => take(bytes)).catch((error: unknown) => parts.problem({ code: 'reject.internal', message: String(error) })).then(() => {
        backlog -= bytes.length
        if (!dropped || backlog > 0) return
        dropped = false
        parts.overrun()
      })
    },
    async stored (bytes) {
      const slice = createSlice()
      for (const group of groupsOf(bytes, (error) => parts.problem({ code: 'client.storage', message: String(error) }))) {
        for (const node of group) {
          if (bytesAt(node.bytes, node.start, blake3.hash(transactionOf(node)))) admit(node, strays, Infinity)
          else report(node, 'client.storage', 'a stored node is not what its id says')
        }
        if (slice.due()) await slice.rest()
      }
    },
    release (key) {
      for (const node of orphans.release(key)) admit(node, orphans)
    },
    async idle () { await tail },
    get orphans () { return orphans.size },
    close () {
      closed = true
      cancelAsk?.()
    }
  }
}

/** The nodes of a pack in groups. A pack that breaks off gives what stood before; `broken` is told. */
function * groupsOf (bytes: Uint8Array, broken: (error: unknown) => void): Generator<NodeView[], undefined> {
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

/** Says when others should go first. */
function createSlice (): { due (): boolean, rest (): Promise<void> } {
  let until = performance.now() + SLICE_MS
  return {
    due: () => performance.now() > until,
    async rest () {
      await breathe()
      until = performance.now() + SLICE_MS
    }
  }
}
