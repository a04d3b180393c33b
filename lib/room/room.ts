import { NodalmergeError, REASONS } from '../errors.js'
import { type Dag, createDag } from '../dag/dag.js'
import { type Filters, createFilters } from '../dag/ibf.js'
import { type Trie, createTrie } from '../dag/mst.js'
import { type NodeView, bytesOf, clockAfter, eachOp, idOf, scanNode, transactionOf } from '../protocol/node.js'
import { bytesAt } from '../protocol/bytes.js'
import { cursor } from '../protocol/postcard.js'
import { toHex } from '../protocol/hex.js'
import type { RoomState, StoredPolicy } from '../store/node-store.js'
import type { Ledger } from './commit.js'
import { type Candidate, decode, inspect, sift } from './intake.js'
import { keyAt } from '../protocol/id-key.js'
import type { Lane } from './lane.js'
import { type Members, createMembers } from './members.js'
import { hashObjection, objectionTo, signatureObjection, skewObjection } from './objection.js'
import { type Orphan, type Orphans, createOrphans, missingParent } from './orphans.js'
import { type Placement, type Staged, createPlacement } from './placement.js'
import { type Policy, OPEN_STATE, compilePolicy, currentPolicy, withPolicy } from './policy.js'
import { type PresenceBoard, createPresence } from './presence.js'
import { type Relay, createRelay } from './relay.js'
import type { Server } from './server.js'
import { createSharedFrames } from './shared-frames.js'
import type { Session } from './session.js'
import type { Source } from './source.js'
import { createPace } from './turn.js'
import { type Verdict, emptyVerdict } from './verdict.js'

/** One room in memory: its dag and what is derived from it, its sessions, and the one way in for nodes. */
export class Room implements Ledger<Staged> {
  readonly id: string
  readonly dag: Dag
  readonly filters: Filters
  readonly trie: Trie
  readonly sessions = new Set<Session>()
  readonly members: Members
  readonly presence: PresenceBoard
  /** Blobs that a node of the room names or a session of the room uploaded, in lower-case hexadecimal (design §5 row 18). */
  readonly blobs = new Set<string>()
  readonly frames = createSharedFrames()
  seq = 0
  /** When the last session left, for idle eviction. */
  idleSince: number
  #clock = 0
  /** Work that needs the room to stay in memory. */
  #users = 0
  #changes: Promise<void> = Promise.resolve()
  #state: RoomState = OPEN_STATE
  #policy: Policy = compilePolicy(currentPolicy(OPEN_STATE))
  /** Accepted and not yet durable: known and a parent for what follows, shown to nobody. */
  readonly #pending = new Map<string, Staged>()
  readonly #orphans: Orphans<Candidate>
  readonly #relay: Relay
  readonly #server: Server
  /** With relaxed durability: relayed nodes that the store refused and that are offered to it again. */
  #unsaved: Staged[] = []

  constructor (id: string, server: Server) {
    this.id = id
    this.#server = server
    this.dag = createDag(server.blake3)
    this.filters = createFilters(server.blake3)
    this.trie = createTrie(this.dag, server.blake3)
    this.members = createMembers(this)
    this.presence = createPresence(this, server.clock)
    this.#orphans = createOrphans({ nodes: server.limits.orphanNodes, bytes: server.limits.orphanBytes })
    this.#relay = createRelay(this.dag, this.sessions, server.limits.frameBytes, server.turn)
    this.idleSince = server.clock.now()
  }

  get state (): RoomState { return this.#state }
  /** The Lamport clock with what is still on its way to the store. */
  get clock (): number { return Math.max(this.#clock, this.dag.clock) }
  /** Nothing would be lost or left unanswered if the room left memory now. */
  get quiet (): boolean {
    return this.#users === 0 && this.sessions.size === 0 && this.#pending.size === 0 && this.#orphans.size === 0 && this.#unsaved.length === 0
  }

  /**
   * Takes a pack in: decode, known?, limit, verify, authorise, persist, index; acknowledging is the caller's next step, relaying follows
   * at the end of the turn (design §4). Resolves when everything accepted is durable. Rejects with a coded error when the pack cannot be
   * read, a limit is exceeded or the store failed; then nothing of it was acknowledged.
   */
  accept (pack: Uint8Array, source: Source, lane: Lane): Promise<Verdict> {
    return this.use(() => this.#take(pack, source, lane))
  }

  /** Keeps the room in memory while `work` goes on: one that was evicted meanwhile would be loaded a second time beside itself. */
  async use<Result> (work: () => Promise<Result>): Promise<Result> {
    this.#users++
    try {
      return await work()
    } finally {
      this.#users--
    }
  }

  async #take (pack: Uint8Array, source: Source, lane: Lane): Promise<Verdict> {
    const ticket = lane.enter()
    let placed: { verdict: Verdict, placement: Placement, twins: Set<Placement> }
    try {
      const nodes = await decode(pack)
      const { candidates, repeats } = await sift(nodes, source, this.#knows)
      source.charge(candidates.length, candidates.reduce((sum, { node }) => sum + node.end - node.start, 0))
      await inspect(candidates, this.#server)
      await ticket.turn
      if (this.#unsaved.length > 0) throw new NodalmergeError('reject.store_unavailable')
      placed = await this.#place(candidates, repeats, emptyVerdict(nodes.length))
    } finally {
      ticket.leave()
    }
    await placed.placement.durable
    for (const twin of placed.twins) await twin.durable
    return placed.verdict
  }

  /** Puts candidates into the room as far as their parents are there, and hands them to the commit. */
  async #place (candidates: readonly Candidate[], repeats: readonly NodeView[], verdict: Verdict) {
    const placement = createPlacement()
    const waiting = createOrphans<Candidate>({ nodes: Infinity, bytes: Infinity })
    const arrived = [...repeats]
    const pace = createPace()
    let staged: Staged[] = []
    for (const candidate of candidates) {
      if (this.#knows(candidate.node.bytes, candidate.node.start, candidate.key)) arrived.push(candidate.node)
      else staged.push(...this.#admit(candidate, placement, waiting, verdict))
      if (pace.due()) {
        this.#server.committer.submit(this, staged)
        staged = []
        await pace.rest()
      }
    }
    this.#server.committer.submit(this, staged)
    placement.seal()
    for (const orphan of waiting.all()) this.#keepOrphan(orphan, verdict)
    return { verdict, placement, twins: this.#countRepeats(arrived, verdict) }
  }

  /** Admits one candidate and everything that waited for it. */
  #admit (first: Candidate, placement: Placement, waiting: Orphans<Candidate>, verdict: Verdict): Staged[] {
    const staged: Staged[] = []
    const ready = [first]
    for (let next = ready.pop(); next !== undefined; next = ready.pop()) {
      if (!next.identified) {
        this.#refuse(next, hashObjection(next.node, this.#server.blake3.hash(transactionOf(next.node))), verdict)
        continue
      }
      const parent = missingParent(next.node, this.#has)
      const objection = parent === null ? this.#objection(next) : this.#hopeless(next)
      if (objection !== null) {
        this.#refuse(next, objection, verdict)
      } else if (parent !== null) {
        const pool = next.late ? this.#orphans : waiting
        pool.add(next, parent)
      } else {
        staged.push(this.#stage(next, placement, verdict))
        ready.push(...waiting.release(next.key), ...this.#orphans.release(next.key))
      }
    }
    return staged
  }

  #objection (candidate: Candidate): NodalmergeError | null {
    return objectionTo(candidate, {
      clock: this.clock, now: this.#server.clock.now(), policy: this.#policy, serverKey: this.#server.signer.publicKey
    })
  }

  /** What no parent could mend; the ceiling may be, because parents move the clock. */
  #hopeless (candidate: Candidate): NodalmergeError | null {
    return skewObjection(candidate.node, this.#server.clock.now()) ?? signatureObjection(candidate)
  }

  #stage (candidate: Candidate, placement: Placement, verdict: Verdict): Staged {
    const { node, key, source } = candidate
    const staged = { node, bytes: bytesOf(node), key, source, placement }
    placement.expect()
    this.#pending.set(key, staged)
    this.#clock = clockAfter(this.clock, node.lamport, node.extra)
    if (!candidate.late) verdict.accepted++
    if (this.#server.relaxed) this.#index(node, source)
    return staged
  }

  #refuse (candidate: Candidate, objection: NodalmergeError, verdict: Verdict): void {
    this.#server.log.debug({ room: this.id, code: objection.code }, objection.message)
    if (candidate.late) candidate.source.session?.sendError(objection)
    else verdict.refused.push({ id: idOf(candidate.node), code: objection.code, message: objection.message })
  }

  #keepOrphan ({ orphan, parent }: { orphan: Candidate, parent: Uint8Array }, verdict: Verdict): void {
    verdict.unresolved++
    verdict.refused.push({ id: idOf(orphan.node), code: 'reject.missing_parent', message: `missing parent node: ${toHex(parent)}` })
    orphan.late = true
    // A copy, so that one orphan does not keep the whole frame it came in.
    orphan.node = scanNode(cursor(bytesOf(orphan.node).slice()))
    orphan.since = this.#server.clock.now()
    this.#orphans.add(orphan, parent)
  }

  /**
   * Repeats count as accepted, but an acknowledgement promises durability: those still on their way are waited for. A repeat of a node
   * that was refused or waits for a parent shares its fate.
   */
  #countRepeats (repeats: readonly NodeView[], verdict: Verdict): Set<Placement> {
    const twins = new Set<Placement>()
    for (const node of repeats) {
      const staged = this.#pending.get(keyAt(node.bytes, node.start))
      if (staged !== undefined) twins.add(staged.placement)
      if (staged !== undefined || this.dag.indexOf(node.bytes, node.start) >= 0) {
        verdict.duplicates++
      } else {
        const first = verdict.refused.find(({ id }) => bytesAt(node.bytes, node.start, id))
        // Known when the pack was read and taken back since: the store failed.
        verdict.refused.push(first ?? { id: idOf(node), code: 'reject.store_unavailable', message: REASONS['reject.store_unavailable'].message })
      }
    }
    return twins
  }

  readonly #has = (bytes: Uint8Array, at: number): boolean =>
    this.dag.indexOf(bytes, at) >= 0 || (this.#pending.size > 0 && this.#pending.has(keyAt(bytes, at)))

  readonly #knows = (bytes: Uint8Array, at: number, key: string): boolean => this.dag.indexOf(bytes, at) >= 0 || this.#pending.has(key)

  async committed (entries: readonly Staged[]): Promise<void> {
    const pace = createPace()
    for (const { node, source, key, placement } of entries) {
      this.#index(node, source)
      this.#pending.delete(key)
      placement.settle(null)
      if (pace.due()) await pace.rest()
    }
  }

  failed (entries: readonly Staged[], later: readonly Staged[], cause: unknown): Staged[] {
    this.#server.log.error({ room: this.id, err: cause, nodes: entries.length }, 'the store did not take a commit')
    const failure = new NodalmergeError('reject.store_unavailable', undefined, { cause })
    if (this.#server.relaxed) return this.#keepUnsaved([...entries, ...later], failure)
    const gone = new Set(entries.map(({ key }) => key))
    const left = later.filter((staged) => {
      const depends = missingParent(staged.node, (bytes, at) => !gone.has(keyAt(bytes, at))) !== null
      if (depends) gone.add(staged.key)
      return !depends
    })
    for (const staged of [...entries, ...later]) {
      if (!gone.has(staged.key)) continue
      this.#pending.delete(staged.key)
      staged.placement.settle(failure)
    }
    this.#clock = left.reduce((clock, { node }) => clockAfter(clock, node.lamport, node.extra), this.dag.clock)
    return left
  }

  /** Relayed nodes cannot be taken back: they stay, unacknowledged, and the store is offered them again (see `sweep`). */
  #keepUnsaved (entries: readonly Staged[], failure: NodalmergeError): Staged[] {
    for (const staged of entries) {
      staged.placement.settle(failure)
      staged.placement = createPlacement()
      staged.placement.expect()
      staged.placement.seal()
      this.#unsaved.push(staged)
    }
    return []
  }

  async recover (): Promise<void> {
    await this.#read(this.seq)
  }

  /** Reads the room from its store. Throws what the store throws. */
  async load (): Promise<void> {
    this.restore(await this.#server.store.state(this.id) ?? OPEN_STATE)
    await this.#read(0)
  }

  /** Takes stored nodes in, trusted for signature and ceiling, checked for id (design §5 row 25), in any order. */
  async #read (after: number): Promise<void> {
    const waiting = createOrphans<Candidate>({ nodes: Infinity, bytes: Infinity })
    const damaged = (seq: number, cause: unknown): void =>
      this.#server.log.error({ room: this.id, seq, err: cause }, 'a stored record cannot be read and was skipped')
    const pace = createPace()
    for await (const { nodes, last } of this.#server.store.load(this.id, after, damaged)) {
      for (const bytes of nodes) {
        const node = scanNode(cursor(bytes))
        if (bytesAt(bytes, 0, this.#server.blake3.hash(transactionOf(node)))) this.#attach(node, waiting)
        else damaged(last, hashObjection(node, this.#server.blake3.hash(transactionOf(node))))
        if (pace.due()) await pace.rest()
      }
      this.seq = last
    }
    if (waiting.size > 0) this.#server.log.error({ room: this.id, nodes: waiting.size }, 'stored nodes without parents were skipped')
  }

  #attach (first: NodeView, waiting: Orphans<Candidate>): void {
    const ready = [first]
    for (let node = ready.pop(); node !== undefined; node = ready.pop()) {
      const parent = missingParent(node, this.#has)
      const key = keyAt(node.bytes, node.start)
      if (parent !== null) {
        waiting.add({ node, key, source: this.#server.source, identified: true, signed: true, objection: null, late: false, since: 0 }, parent)
      } else {
        this.#index(node, this.#server.source)
        ready.push(...waiting.release(key).map((orphan: Orphan) => orphan.node))
      }
    }
  }

  /** Makes a durable node part of what everybody is shown. A node that is there already (relaxed mode, recovery) is left alone. */
  #index (node: NodeView, source: Source): void {
    if (this.dag.indexOf(node.bytes, node.start) >= 0) return
    const index = this.dag.append(node)
    if (node.blobs) {
      eachOp(node, ({ hash }) => {
        if (hash >= 0) this.blobs.add(toHex(node.bytes.subarray(hash, hash + 32)))
      })
    }
    if (this.sessions.size > 0) this.#relay.add(index, source)
  }

  restore (state: RoomState): void {
    this.#state = state
    this.#policy = compilePolicy(currentPolicy(state))
  }

  /** Locks the room under an Ed25519 room key; durable before it is confirmed (design §5 row 7). */
  async lock (key: string): Promise<void> {
    await this.#change((state) => {
      if (state.key !== null) throw new NodalmergeError('reject.room_locked')
      return { ...state, key }
    })
    for (const session of this.sessions) session.recheck()
  }

  async setPolicy (policy: StoredPolicy): Promise<void> {
    await this.#change((state) => withPolicy(state, policy))
  }

  /** One change of the room's state at a time, each on top of the one before; durable before it is in force. */
  #change (next: (state: RoomState) => RoomState): Promise<void> {
    const change = this.#changes.then(async () => {
      const state = next(this.#state)
      try {
        await this.#server.store.putState(this.id, state)
      } catch (cause) {
        throw new NodalmergeError('reject.store_unavailable', undefined, { cause })
      }
      this.restore(state)
    })
    this.#changes = change.catch(() => {})
    return this.use(() => change)
  }

  /** Housekeeping, about once a second. */
  sweep (now: number): void {
    this.#orphans.expire(now - this.#server.limits.orphanMs)
    this.presence.expire(now)
    this.frames.sweep()
    const unsaved = this.#unsaved
    this.#unsaved = []
    this.#server.committer.submit(this, unsaved)
  }
}
