import { randomBytes } from 'node:crypto'
import type { Blake3 } from '../../lib/protocol/blake3.js'
import { fromBase64 } from '../../lib/protocol/base64.js'
import { fromHex } from '../../lib/protocol/hex.js'
import { utf8Encode } from '../../lib/protocol/postcard.js'
import type { Clock } from '../../lib/clock.js'
import type { Message } from '../../lib/testing/connection.js'
import type { WebSocketLike } from '../../lib/testing/socket.js'
import { type SyncStore, createSyncStore } from './sync-store.js'
import { type Counts, type Wire, createTimers, createWire } from './wire.js'

export interface ROptions {
  blake3: Blake3
  /** Used as it is; normally ends in `/ws/runtime`. */
  wsUrl: string
  roomId: string
  open: (url: string) => WebSocketLike
  authorKey?: Uint8Array
  token?: unknown
  clock?: Clock
  /** After so many immediate resends the emulator gives up, so that a test can fail instead of hanging. */
  patience?: number
}

/** The runtime client (`createNodalMergeSdk`), emulated from spec/client.md §3 and §5. */
export interface RClient {
  readonly store: SyncStore
  readonly pubkey: string
  readonly counts: Counts
  readonly errors: string[]
  readonly inbound: readonly Message[]
  /** How often a `pack-ack` made it send the same nodes again. */
  readonly resends: number
  readonly outboxDepth: number
  connect (): void
  disconnect (): void
  set (key: string, value: string): string
  del (key: string): string
  insertText (key: string, text: string): string
  /** Sends what is not marked; into the outbox without a socket. False when there was nothing or it was too large. */
  push (): boolean
  pull (): void
  setBlob (key: string, bytes: Uint8Array): string
  send (message: Message): boolean
  readonly presence: {
    set (data: unknown, options?: { sessionId?: unknown, ttlMs?: number, nowUnixMs?: number }): void
    getAll (): void
    sweep (nowUnixMs: number): void
  }
  until: Wire['until']
}

const CAPS = {
  supports_ibf: true,
  supports_mst: true,
  supports_postcard: true,
  supports_encryption: true,
  supports_list_crdt: true,
  supports_direct_blob_io: true,
  supports_webrtc: false,
  max_tick_interval_ms: null
}
const PACK_LIMIT = 61_440
const RECONNECT = { first: 500, factor: 2, most: 15_000 }

interface RState { store: SyncStore, wire: Wire, sent: Set<string>, lastPush: string[], outbox: string[], resends: number, patience: number }

export function createRClient (options: ROptions): RClient {
  const store = createSyncStore(options.blake3, options.authorKey ?? randomBytes(32))
  const wire = createWire()
  const state: RState = { store, wire, sent: new Set(), lastPush: [], outbox: [], resends: 0, patience: options.patience ?? 1000 }
  const link = createLink(options, state)
  return {
    store,
    pubkey: store.pubkey,
    counts: wire.counts,
    errors: wire.errors,
    inbound: wire.inbound,
    get resends () { return state.resends },
    get outboxDepth () { return state.outbox.length },
    ...link,
    set: (key, value) => store.write([{ type: 'map-set', key, value: utf8Encode(value) }]),
    del: (key) => store.write([{ type: 'map-delete', key }]),
    insertText: (key, text) => store.write([{ type: 'text-insert-range', key, anchor: { at: 'end' }, text }]),
    push: () => push(state),
    pull () { wire.send({ type: 'request', known: store.ids() }) },
    setBlob (key, bytes) {
      const hash = store.setBlob(bytes)
      store.write([{ type: 'map-set-blob', key, hash: fromHex(hash, 32) ?? new Uint8Array(32) }])
      return hash
    },
    send: (message) => wire.send(message),
    presence: {
      set (data, { sessionId, ttlMs, nowUnixMs } = {}) {
        wire.send({ type: 'presence-set', data, session_id: sessionId, ttl_ms: ttlMs, now_unix_ms: nowUnixMs })
      },
      getAll () { wire.send({ type: 'presence-get' }) },
      sweep (nowUnixMs) { wire.send({ type: 'presence-sweep', now_unix_ms: nowUnixMs }) }
    },
    until: wire.until
  }
}

/**
 * `hello`, the outbox, then a `request` with all ids, before any `welcome`. A connection that had opened is followed by another try
 * after 500 ms, doubling to 15 s; when a try fails before it opens there is no further one (§3.4).
 */
function createLink (options: ROptions, state: RState): Pick<RClient, 'connect' | 'disconnect'> {
  const timers = options.clock ?? createTimers()
  const { store, wire } = state
  let delay = RECONNECT.first
  let wanted = false
  let cancel: (() => void) | null = null
  const connect = (): void => {
    wanted = true
    let hadOpened = false
    wire.attach(options.open(options.wsUrl), {
      open () {
        hadOpened = true
        delay = RECONNECT.first
        wire.send({ type: 'hello', room: options.roomId, pubkey: store.pubkey, frontier: store.frontier(), caps: CAPS, ...(options.token === undefined ? {} : { token: options.token }) })
        for (const nodes of state.outbox.splice(0)) wire.send({ type: 'pack', nodes })
        wire.send({ type: 'request', known: store.ids() })
      },
      message (message) { react(state, message) },
      close () {
        if (!wanted || !hadOpened) return
        cancel = timers.after(delay, connect)
        delay = Math.min(delay * RECONNECT.factor, RECONNECT.most)
      }
    })
  }
  return {
    connect,
    disconnect () {
      wanted = false
      cancel?.()
      wire.detach()
    }
  }
}

function markAll (state: RState): void {
  for (const id of state.store.ids()) state.sent.add(id)
}

/** A pack above 60 KiB is refused here with an error event; nothing is sent and nothing tries again (§3.4). */
function fits (state: RState, nodes: string): boolean {
  if (nodes.length <= PACK_LIMIT) return true
  state.wire.errors.push('pack too large')
  return false
}

function push (state: RState): boolean {
  const { store, wire } = state
  const delta = store.ids().filter((id) => !state.sent.has(id))
  if (delta.length === 0) return false
  const nodes = store.exportMissingFrom(state.sent)
  if (!fits(state, nodes)) return false
  state.lastPush = delta
  markAll(state)
  if (!wire.send({ type: 'pack', nodes })) state.outbox.push(nodes)
  return true
}

function unmarkLastPush (state: RState): void {
  for (const id of state.lastPush) state.sent.delete(id)
}

const texts = (value: unknown): string[] => Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : []

function react (state: RState, message: Message): void {
  try {
    if (message.type === 'welcome') welcomed(state, message)
    else if (message.type === 'pack') imported(state, message)
    else if (message.type === 'pack-ack') acknowledged(state, message)
    else if (message.type === 'blob-pack') storeBlobs(state, message)
    else if (message.type === 'error') failed(state, message)
  } catch (error) {
    state.wire.errors.push(String(error))
  }
}

/** `missing` not empty: everything but those; else, when the roots differ, everything but the heads (§5.4). */
function welcomed (state: RState, message: Message): void {
  const { store } = state
  const missing = texts(message.missing)
  const differs = typeof message.root === 'string' && message.root !== store.root()
  if (missing.length === 0 && !differs) return
  const known = missing.length > 0 ? missing : texts(message.frontier)
  const nodes = store.exportMissingFrom(known)
  if (!fits(state, nodes)) return
  state.lastPush = store.ids().filter((id) => !known.includes(id))
  state.wire.send({ type: 'pack', nodes })
  markAll(state)
}

function imported (state: RState, message: Message): void {
  const own = new Set(state.store.ids())
  state.store.importPack(String(message.nodes))
  for (const id of state.store.ids()) if (!own.has(id)) state.sent.add(id)
}

/** A refusal, or a count that does not add up, makes it send the delta again at once (§3.4). */
function acknowledged (state: RState, message: Message): void {
  const { incoming_count: incoming, accepted_count: accepted, rejected_count: rejected } = message as Record<string, unknown>
  if (Number(rejected) <= 0 && Number(accepted) >= Number(incoming)) return
  if (state.resends >= state.patience || state.lastPush.length === 0) return
  state.resends++
  unmarkLastPush(state)
  push(state)
}

function storeBlobs (state: RState, message: Message): void {
  for (const { hash, data } of message.blobs as { hash: string, data: string }[]) state.store.storeBlob(hash, fromBase64(data))
}

function failed (state: RState, message: Message): void {
  state.wire.errors.push(String(message.msg))
  if (String(message.msg).includes('message too large')) unmarkLastPush(state)
}
