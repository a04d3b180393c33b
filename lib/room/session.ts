import { type Code, NodalmergeError, REASONS } from '../errors.js'
import { type NodeView, authorOf, everyKey } from '../protocol/node.js'
import type { Ranges } from '../dag/ranges.js'
import type { SessionCaps } from '../protocol/caps.js'
import { type ClientMessage, parseMessage } from '../protocol/message.js'
import { toHex } from '../protocol/hex.js'
import { utf8Decode } from '../protocol/postcard.js'
import { type Bucket, createBucket } from './bucket.js'
import { dispatch } from './dispatch.js'
import { frame } from './frame.js'
import { greet } from './handshake.js'
import type { SentMessage } from '../protocol/server-message.js'
import { createLane } from './lane.js'
import { type Outbox, type Socket, createOutbox } from './outbox.js'
import { createPatience } from './patience.js'
import type { Quota } from './quota.js'
import { type Action, type Asker, type Identity, isRefusal } from './rights.js'
import type { Room } from './room.js'
import type { Server } from './server.js'
import type { Source } from './source.js'
import type { Subscription } from './subscription.js'

/** Who a session says it is. */
export interface Peer { pubkey: string, peerId: string, peerType: string }

/** How a connection came in: its room by the path (null: by hello), its address, and the host's request for `authenticate`. */
export interface Arrival { room: string | null, address: string, request: unknown }

/** What the handshake settled. */
export interface Terms {
  room: Room
  peer: Peer
  caps: SessionCaps
  /** The client offered direct blob transfers, whether or not the store can presign. */
  offeredDirect: boolean
  ext: readonly string[]
  capabilities: ReadonlySet<string>
  /** A token under the room's or the operator's key was shown. */
  byToken: boolean
  identity: Identity | null
  /** Unix milliseconds, or null. */
  expiresAt: number | null
  subscription: Subscription
  /** What the catch-up delivers. */
  catchUp: Ranges
  quota: Quota
}

/** Refusals of a message that end the session; it survives all others (§6.3). */
const FATAL: ReadonlySet<Code> = new Set<Code>(['reject.rate_limit_nodes', 'reject.rate_limit_bytes'])

/** The close code of a hello that was refused for a reason without one of its own (§1.5). */
const HELLO_REFUSED = 1008

type Phase = 'hello' | 'opening' | 'live' | 'closed'

/** Messages that make the server read history or blobs; they have a budget of their own (limits.readsPerSecond). */
const READS = new Set(['request', 'mst-request', 'mst-done', 'blob-request'])

/** One connection of a peer to a room, from upgrade to close (spec/session-protocol.md §1.2). */
export class Session {
  readonly id: number
  readonly server: Server
  readonly socket: Socket
  readonly arrival: Arrival
  readonly outbox: Outbox
  readonly lane = createLane()
  /** Nodes of this session that were refused, so that a client that loops is answered ever more slowly (§2.2). */
  readonly refusals = createPatience(2)
  /** Whether a `request` has come; the first one may have been written before the catch-up arrived. */
  requested = false
  /** Redirects given lately, by blob hash (§3.2). */
  readonly redirects = new Map<string, { at: number, times: number }>()
  #source: Source | null = null
  #phase: Phase = 'hello'
  #terms: Terms | null = null
  /** Dag index up to which the catch-up has delivered; null until it has delivered everything. */
  #followsFrom: number | null = null
  #inbox: string[] = []
  #inboxBytes = 0
  #paused = false
  #pumping = false
  #packs = 0
  #packsDone: (() => void) | null = null
  #pings = 0
  #pingedAt: number
  readonly #openedAt: number
  readonly #messages: Bucket
  readonly #reads: Bucket
  readonly blobBytes: Bucket

  constructor (id: number, server: Server, socket: Socket, arrival: Arrival) {
    this.id = id
    this.server = server
    this.socket = socket
    this.arrival = arrival
    const { limits, clock, turn } = server
    const now = clock.now()
    this.#openedAt = now
    this.#pingedAt = now
    this.#messages = createBucket(limits.messagesPerSecond, now)
    this.#reads = createBucket(limits.readsPerSecond, now, limits.readsPerSecond * 2)
    this.blobBytes = createBucket(limits.blobBytesPerSecond, now, Math.max(limits.blobBytesPerSecond, limits.messageBytes))
    this.outbox = createOutbox(socket, limits, clock, turn, () => this.close('reject.broadcast_lagged_resync_required'))
  }

  get phase (): Phase { return this.#phase }
  get peer (): Peer { return this.terms.peer }
  get subscription (): Subscription { return this.terms.subscription }
  /** What the handshake settled; asked for only once it has. */
  get terms (): Terms {
    if (this.#terms === null) throw notOpened()
    return this.#terms
  }

  /** The session as a writer of nodes. */
  get source (): Source {
    if (this.#source === null) throw notOpened()
    return this.#source
  }

  /** The session as the host's `authorize` sees it. */
  get asker (): Asker {
    const { room, peer, identity } = this.terms
    return { room: room.id, ...peer, identity }
  }

  /** A text frame arrived. Never throws. */
  receive (text: string): void {
    if (this.#phase === 'hello') {
      this.#phase = 'opening'
      this.#guard(greet(this, text))
    } else if (this.#phase !== 'closed') {
      this.#inbox.push(text)
      this.#inboxBytes += text.length
      if (this.#inboxBytes > this.server.limits.inboxBytes) this.#pause()
      this.#guard(this.#pump())
    }
  }

  /** A binary frame arrived; the protocol has none. */
  receiveBinary (): void {
    this.close('reject.protocol_binary_frame')
  }

  /** A pong arrived. */
  alive (): void {
    this.#pings = 0
  }

  /** The handshake is through: from now on frames are worked off in order. */
  enter (terms: Terms): void {
    this.#terms = terms
    this.#source = this.#asSource(terms)
    this.#phase = 'live'
    terms.room.sessions.add(this)
    terms.room.members.join(this)
  }

  /** Lets the frames in that arrived during the handshake. */
  begin (): void {
    this.#guard(this.#pump())
  }

  /** The catch-up has delivered everything below `index`; relays take over. */
  follow (index: number): void {
    this.#followsFrom = index
  }

  /** Whether a relay of nodes below `to` is for this session: what the catch-up delivers is not sent twice. */
  follows (to: number): boolean {
    return this.#followsFrom !== null && to > this.#followsFrom
  }

  /** Work that goes on beside the frames, such as the catch-up. */
  background (work: Promise<void>): void {
    this.#guard(work)
  }

  async #pump (): Promise<void> {
    if (this.#pumping) return
    this.#pumping = true
    try {
      for (let text = this.#take(); text !== null; text = this.#take()) {
        const work = this.#handle(text)
        // A frame that failed is told; those behind it are worked off all the same.
        if (work !== null) await work.catch(this.#failed)
      }
    } finally {
      this.#pumping = false
    }
  }

  #take (): string | null {
    if (this.#phase !== 'live') return null
    const text = this.#inbox.shift()
    if (text === undefined) return null
    this.#inboxBytes -= text.length
    if (this.#paused && this.#inboxBytes <= this.server.limits.inboxBytes / 2) this.#resume()
    return text
  }

  /** Null when the next frame may be worked on at once. Packs overlap; everything else waits for the packs before it. */
  #handle (text: string): Promise<void> | null {
    let message
    try {
      message = parseMessage(text)
    } catch (error) {
      this.#guard(Promise.reject(error))
      return null
    }
    if (message.type === 'unknown') return null
    if (message.type === 'pack') {
      this.#startPack(message)
      return this.#packs < this.server.limits.packsInFlight ? null : this.#packsBelow()
    }
    return this.#answer(message)
  }

  #startPack (message: Extract<ClientMessage, { type: 'pack' }>): void {
    this.#packs++
    const done = (): void => {
      this.#packs--
      this.#packsDone?.()
    }
    this.#guard(dispatch(this, message).finally(done))
  }

  /** Resolves when one more pack, or with `all` every pack, has been answered. */
  #packsBelow (all = false): Promise<void> {
    return new Promise((resolve) => {
      this.#packsDone = () => {
        if (all && this.#packs > 0) return
        this.#packsDone = null
        resolve()
      }
    })
  }

  async #answer (message: ClientMessage): Promise<void> {
    const now = this.server.clock.now()
    const within = this.#messages.take(1, now) && (!READS.has(message.type) || this.#reads.take(1, now))
    if (!within) return this.sendError(new NodalmergeError('reject.rate_limit_messages', undefined, { cause: message.type }))
    if (this.#packs > 0) await this.#packsBelow(true)
    await this.outbox.ready()
    if (this.#phase === 'live') await dispatch(this, message)
  }

  #pause (): void {
    if (this.#paused) return
    this.#paused = true
    this.socket.pause()
  }

  #resume (): void {
    this.#paused = false
    this.socket.resume()
  }

  /** Whatever goes wrong in this session's work ends here: coded errors are told, others are logged and end the session. */
  #guard (work: Promise<void>): void {
    work.catch(this.#failed)
  }

  readonly #failed = (cause: unknown): void => {
    if (this.#phase === 'closed') return
    if (cause instanceof NodalmergeError) return this.#tell(cause)
    this.server.log.error({ err: cause, session: this.id }, 'a session failed')
    this.close('reject.internal')
  }

  #tell (error: NodalmergeError): void {
    if (FATAL.has(error.code)) this.close(error.code)
    else this.sendError(error)
  }

  send (message: SentMessage): void {
    this.outbox.reply(frame(message))
  }

  /** The error envelope of §6.1; `about` adds fields such as `command`. */
  sendError (error: NodalmergeError, about: object = {}): void {
    this.send({
      type: 'error', msg: error.message, code: error.code, reason_class: error.code, status: error.statusCode, retry: error.retry, ...about
    })
  }

  /** Asks the host; throws what the refusal says. */
  async permit (action: Action, code: Code): Promise<void> {
    const { authorize } = this.server
    if (authorize === null) return
    const answer = await authorize(this.asker, action)
    if (isRefusal(answer)) throw new NodalmergeError(code, answer.refused)
  }

  /** The room was locked: a session without a valid token is asked to come back with one (§5.1). */
  recheck (): void {
    if (!this.terms.byToken) this.close('unauthorized.token_expired')
  }

  /** Ends the session with the code's close code, without an error frame (§6.3); what was queued for it is dropped. */
  close (code: Code, text: string = REASONS[code].message, closeCode: number | null = REASONS[code].close): void {
    if (this.#phase === 'closed') return
    this.ended()
    // Paused, it would never hear the answer to the close frame.
    this.socket.resume()
    this.socket.close(closeCode ?? 1011, text)
    this.server.clock.after(this.server.limits.sendTimeoutMs, () => this.socket.terminate())
  }

  /** Ends the handshake: an error frame, then, once it was handed over, a close frame (§1.5). */
  async refuse (error: NodalmergeError, closeText: string, closeCode = REASONS[error.code].close ?? HELLO_REFUSED): Promise<void> {
    this.sendError(error)
    await this.outbox.drained()
    this.close(error.code, closeText, closeCode)
  }

  /** The connection is gone. */
  ended (): void {
    if (this.#phase === 'closed') return
    const live = this.#phase === 'live'
    this.#phase = 'closed'
    this.#inbox = []
    this.outbox.close()
    this.server.rooms.sessionEnded(this)
    if (!live) return
    const { room } = this.terms
    room.sessions.delete(this)
    room.presence.leave(this)
    room.members.leave(this)
    room.idleSince = this.server.clock.now()
  }

  /** Housekeeping, about once a second: timeouts that need no precision. */
  sweep (now: number): void {
    const { limits } = this.server
    const writing = this.outbox.writingSince()
    if (this.#phase === 'hello' && now - this.#openedAt >= limits.helloTimeoutMs) return this.close('unauthorized.hello_timeout')
    if (writing !== null && now - writing > limits.sendTimeoutMs) return this.close('reject.server_overload')
    const expiresAt = this.#terms?.expiresAt ?? null
    if (expiresAt !== null && now >= expiresAt) return this.close('unauthorized.token_expired')
    if (now - this.#pingedAt < limits.pingMs) return
    this.#pingedAt = now
    if (++this.#pings > 2) {
      this.ended()
      return this.socket.terminate()
    }
    this.socket.ping()
  }

  #asSource ({ peer, quota }: Terms): Source {
    return {
      label: peer.pubkey,
      session: this,
      charge: (nodes, bytes) => quota.charge(nodes, bytes, this.server.clock.now()),
      objection: (node) => this.server.authorize === null ? null : this.#askHost(node)
    }
  }

  async #askHost (node: NodeView): Promise<NodalmergeError | null> {
    const keys: string[] = []
    everyKey(node, (bytes, start, end) => keys.push(utf8Decode(bytes, start, end)) > 0)
    try {
      await this.permit({ type: 'write', keys, author: toHex(authorOf(node)) }, 'reject.path_scope_forbidden')
      return null
    } catch (refusal) {
      if (refusal instanceof NodalmergeError) return refusal
      throw refusal
    }
  }
}

function notOpened (): NodalmergeError {
  return new NodalmergeError('reject.internal', 'the session has not been opened')
}
