import { randomBytes } from 'node:crypto'
import type { Blake3 } from '../../lib/protocol/blake3.js'
import { fromHex, toHex } from '../../lib/protocol/hex.js'
import type { Op } from '../../lib/protocol/op.js'
import { utf8Encode } from '../../lib/protocol/postcard.js'
import type { Clock } from '../../lib/clock.js'
import type { Message } from '../../lib/testing/connection.js'
import type { WebSocketLike } from '../../lib/testing/socket.js'
import { type DBlobs, createDBlobs } from './d-blobs.js'
import { type SyncStore, createSyncStore } from './sync-store.js'
import type { MstNode } from './mst.js'
import { type Counts, type Wire, createTimers, createWire } from './wire.js'

export interface DOptions {
  blake3: Blake3
  serverUrl: string
  room: string
  /** Opens a socket to an address: `(url) => new WebSocket(url)`. */
  open: (url: string) => WebSocketLike
  authorSeed?: Uint8Array
  subscribe?: string[]
  token?: unknown
  fetch?: typeof fetch
  clock?: Clock
}

/** The document client (`createDoc`), emulated from spec/client.md §5 without its mesh. */
export interface DClient {
  readonly store: SyncStore
  readonly pubkey: string
  readonly counts: Counts
  /** What reached `onError`. */
  readonly errors: string[]
  readonly inbound: readonly Message[]
  readonly url: string
  readonly blobs: DBlobs
  isConnected (): boolean
  connect (): void
  disconnect (): void
  /** `map(ns).set`: one node. */
  set (key: string, value: unknown): string
  delete (key: string): string
  insertText (key: string, text: string): string
  /** `list(key).push`: content first, then the order op. */
  push (key: string, value: unknown): void
  setBlob (key: string, bytes: Uint8Array): string
  setPresence (data: unknown): void
  subscribe (patterns: string[]): void
  /** `doc.send`: any envelope, dropped silently without a socket. */
  send (message: Message): boolean
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
const CATCH_UP_CHUNK = 49_152
const KNOWN_ENTRY = 67
const RECONNECT = { first: 1000, factor: 2, most: 30_000 }
const HEARTBEAT = 15_000

/** Where a D-client connects to (§5.1). */
export function roomUrl (serverUrl: string, room: string): string {
  const base = serverUrl.replace(/\/+$/, '')
  return /\/ws\/[^/]+$/.test(base) ? base : `${base}/ws/${encodeURIComponent(room)}`
}

/** What is known to have been sent or received, since the reaction to the last `welcome` (§5.4, "always"). */
interface DState { store: SyncStore, wire: Wire, sent: Set<string>, presence: unknown, patterns: string[] }

export function createDClient (options: DOptions): DClient {
  const store = createSyncStore(options.blake3, options.authorSeed ?? randomBytes(32))
  const wire = createWire()
  const timers = options.clock ?? createTimers()
  const state: DState = { store, wire, sent: new Set(), presence: null, patterns: options.subscribe ?? ['**'] }
  const blobs = createDBlobs(store, wire, timers, options.fetch ?? fetch)
  const url = roomUrl(options.serverUrl, options.room)
  const reactions = createReactions(state, blobs)
  const link = createLink(() => options.open(url), wire, timers, () => { greet(state, options, blobs) }, () => { tellPresence(state) }, (message) => { react(reactions, wire, message) })

  /** After every mutation a microtask sends what is not marked, an empty pack included (§5.6). */
  const mutate = (op: Op): string => {
    const id = store.write([op])
    queueMicrotask(() => { pushUnsent(state) })
    return id
  }
  const json = (value: unknown): Uint8Array => utf8Encode(JSON.stringify(value))

  return {
    store,
    pubkey: store.pubkey,
    counts: wire.counts,
    errors: wire.errors,
    inbound: wire.inbound,
    url,
    blobs,
    isConnected: () => wire.open,
    ...link,
    set: (key, value) => mutate({ type: 'map-set', key, value: json(value) }),
    delete: (key) => mutate({ type: 'map-delete', key }),
    insertText: (key, text) => mutate({ type: 'text-insert-range', key, anchor: { at: 'end' }, text }),
    push (key, value) {
      const item = randomBytes(16)
      mutate({ type: 'map-set', key: `${key}/items/${toHex(item)}`, value: json(value) })
      mutate({ type: 'list-insert', key, item, position: 'V' })
    },
    setBlob (key, bytes) {
      const hash = blobs.put(bytes)
      mutate({ type: 'map-set-blob', key, hash: fromHex(hash, 32) ?? new Uint8Array(32) })
      return hash
    },
    setPresence (data) {
      state.presence = data
      wire.send({ type: 'presence', data })
    },
    subscribe (patterns) {
      state.patterns = patterns.length === 0 ? ['**'] : patterns
      wire.send({ type: 'subscribe', patterns: state.patterns })
    },
    send: (message) => wire.send(message),
    until: wire.until
  }
}

/** Any close is followed by another try after 1 s, doubling to 30 s; every successful open resets the delay (§5.11). */
function createLink (
  open: () => WebSocketLike, wire: Wire, timers: Clock, opened: () => void, heartbeat: () => void, message: (message: Message) => void
): Pick<DClient, 'connect' | 'disconnect'> {
  let delay = RECONNECT.first
  let cancel: (() => void) | null = null
  let wanted = false
  const beat = (): void => {
    timers.after(HEARTBEAT, () => {
      if (!wanted) return
      heartbeat()
      beat()
    })
  }
  const connect = (): void => {
    if (!wanted) beat()
    wanted = true
    cancel = null
    wire.attach(open(), {
      open () {
        delay = RECONNECT.first
        opened()
      },
      message,
      close () {
        if (!wanted) return
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

/** `hello`, all local blobs when there are any, the presence when it was set: nothing waits for an answer (§5.2). */
function greet (state: DState, options: DOptions, blobs: DBlobs): void {
  const { store, wire } = state
  wire.send({
    type: 'hello',
    room: options.room,
    pubkey: store.pubkey,
    frontier: store.frontier(),
    root: store.root(),
    ibf: store.ibf(),
    mst_root: store.mstRoot(),
    caps: CAPS,
    subscribe: state.patterns,
    ...(options.token === undefined ? {} : { token: options.token })
  })
  blobs.opened()
  tellPresence(state)
}

function tellPresence ({ presence, wire }: DState): void {
  if (presence !== null) wire.send({ type: 'presence', data: presence })
}

/** Only ids of the store are ever marked, so equal counts mean that nothing is left to send. */
function pushUnsent (state: DState): void {
  if (!state.wire.open) return
  const rest = state.sent.size < state.store.size
  state.wire.send({ type: 'pack', nodes: rest ? state.store.exportMissingFrom(state.sent) : 'AA==' })
  if (rest) markAll(state)
}

function markAll (state: DState): void {
  for (const id of state.store.ids()) state.sent.add(id)
}

type Reactions = Record<string, (message: Message) => void>

const texts = (value: unknown): string[] => Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : []

function createReactions (state: DState, blobs: DBlobs): Reactions {
  const { store, wire } = state
  return {
    welcome (message) { welcomed(state, blobs, message) },
    pack (message) {
      store.importPack(String(message.nodes))
      markAll(state)
      blobs.askMissing()
    },
    'mst-response' (message) { descended(state, message.nodes as MstNode[]) },
    'peer-joined' () { tellPresence(state) },
    error (message) { wire.errors.push(String(message.msg)) },
    ...blobs.reactions
  }
}

/** Unknown types are ignored; whatever a handler throws goes to `onError` (§5.12). */
function react (reactions: Reactions, wire: Wire, message: Message): void {
  try {
    if (Object.hasOwn(reactions, message.type)) reactions[message.type](message)
  } catch (error) {
    wire.errors.push(String(error))
  }
}

/** The reaction to `welcome`, steps A to D (§5.4). */
function welcomed (state: DState, blobs: DBlobs, message: Message): void {
  const { store, wire } = state
  const missing = texts(message.missing)
  const caps = (message.caps ?? {}) as Record<string, unknown>
  const rootDiffers = typeof message.root === 'string' && message.root !== store.root()
  const mstDiffers = typeof message.mst_root === 'string' && message.mst_root !== store.mstRoot()
  if (missing.length > 0) wire.send({ type: 'pack', nodes: store.exportMissingFrom(missing) })
  else if (message.root === undefined && message.mst_root === undefined) pushEverything(state)
  else if (rootDiffers) wire.send({ type: 'pack', nodes: store.exportMissingFrom(texts(message.frontier)) })
  markAll(state)
  if (caps.supports_mst === true && mstDiffers) wire.send({ type: 'mst-request', paths: [''] })
  else if (rootDiffers) wire.send({ type: 'request', known: store.ids() })
  blobs.welcomed(caps.supports_direct_blob_io === true)
}

/** A2, the answer to a minimal `welcome`. */
function pushEverything (state: DState): void {
  const { store, wire } = state
  for (const nodes of store.exportChunked([], CATCH_UP_CHUNK)) wire.send({ type: 'pack', nodes })
  const short = store.size * KNOWN_ENTRY < CATCH_UP_CHUNK
  wire.send({ type: 'request', known: short ? store.ids() : [] })
}

/** While paths remain the findings of the round are forgotten; at the end comes a push of nearly everything (§5.5). */
function descended (state: DState, nodes: MstNode[]): void {
  const { store, wire } = state
  const found = store.mstDescend(nodes)
  if (found.next.length > 0) { wire.send({ type: 'mst-request', paths: found.next }); return }
  if (found.onlyTheirs.length > 0) wire.send({ type: 'mst-done', ids: found.onlyTheirs })
  if (found.onlyMine.length > 0) wire.send({ type: 'pack', nodes: store.exportMissingFrom(found.onlyTheirs) })
}
