import { type Clock, systemClock } from '../clock.js'
import { toHex } from '../protocol/hex.js'
import type { UnknownMessage } from '../protocol/message.js'
import type { ServerMessage } from '../protocol/server-message.js'
import { createViews } from '../state/views.js'
import { type BlobDriver, createBlobs } from './blobs.js'
import { type DocFeed, createDocFeed } from './doc-event.js'
import { type Ed25519, loadEd25519 } from './ed25519.js'
import { type Handles, createHandles } from './handles.js'
import { type ClientHash, createHash } from './hash.js'
import { type Link, createLink } from './link.js'
import type { DocOptions } from './options.js'
import { createPace } from './pace.js'
import { watchPage } from './page.js'
import { type Presence, type PresenceDriver, createPresence } from './presence.js'
import { type OpenSocket, loadSocket } from './socket.js'
import { type StatusBoard, connectionOf, createStatus } from './status.js'
import type { RoomStorage } from './storage.js'
import { memoryStorage } from './storage-memory.js'
import { type Sync, createSync } from './sync.js'

/** A document's parts, put together and loaded, not connected. */
export interface Assembly {
  readonly pubkey: string
  readonly author: string
  readonly clock: Clock
  readonly feed: DocFeed
  readonly sync: Sync
  readonly link: Link
  readonly handles: Handles
  readonly blobs: BlobDriver
  readonly status: StatusBoard
  presence<State extends object> (): Presence<State>
  session (): number | null
  subscribe (patterns: readonly string[]): void
  close (): Promise<void>
}

interface Ground { storage: Kept, ed25519: Ed25519, blake3: ClientHash, open: OpenSocket, seeds: { identity: Uint8Array, writer: Uint8Array } }

/** A room's storage, and what the status says of it. */
interface Kept { room: RoomStorage, state: 'ok' | 'failed' | 'memory' }

export async function assemble (options: DocOptions): Promise<Assembly> {
  const feed = createDocFeed(options.logger ?? console)
  const ground = await prepare(options, feed)
  try {
    return await build(options, ground, feed)
  } catch (error) {
    await ground.storage.room.close()
    throw error
  }
}

/** Storage that cannot be opened is reported and replaced by memory: an editor that cannot save is better than none. */
async function prepare (options: DocOptions, feed: DocFeed): Promise<Ground> {
  const blake3 = createHash()
  const [ed25519, open] = await Promise.all([loadEd25519(), loadSocket(options.webSocket)])
  const { storage, room, identity } = options
  if (storage !== undefined) {
    try {
      const kept: Kept = { room: await storage.open(room), state: 'ok' }
      return { ed25519, blake3, open, storage: kept, seeds: await kept.room.identity(identity) }
    } catch (error) {
      if (error instanceof RangeError || error instanceof TypeError) throw error
      feed.tell('error', error)
    }
  }
  const kept: Kept = { room: await memoryStorage().open(room), state: storage === undefined ? 'memory' : 'failed' }
  return { ed25519, blake3, open, storage: kept, seeds: await kept.room.identity(identity) }
}

async function build (options: DocOptions, ground: Ground, feed: DocFeed): Promise<Assembly> {
  const { clock = systemClock, random = Math.random } = options
  const { storage, ed25519, blake3 } = ground
  const fault = (error: unknown): void => { feed.tell('error', error) }
  const send: Link['send'] = (frame) => link.send(frame)
  const pace = createPace(clock)
  const pubkey = toHex((await ed25519.signer(ground.seeds.identity)).publicKey)
  let patterns = options.subscribe
  let session: number | null = null
  let loading = true

  const sync = await createSync({
    storage: storage.room,
    ed25519,
    seed: ground.seeds.writer,
    blake3,
    clock,
    pace,
    views: (confirmed) => createViews({ confirmed, onConflict: (conflict) => { if (!loading) feed.tell('conflict', conflict) } }),
    send,
    resync: () => { link.reauth() },
    cipher: options.encryption
  })
  const blobs = createBlobs({ storage: storage.room, blake3, clock, random, send, mode: options.blobs, fault })
  const presence: PresenceDriver<object> = createPresence<object>({ pubkey, clock, send, options: options.presence, fault })
  const link: Link = createLink({
    url: options.url,
    room: options.room,
    pubkey,
    open: ground.open,
    auth: options.auth,
    subscribe: () => patterns,
    direct: blobs.direct,
    clock,
    random,
    pace,
    reconnect: options.reconnect,
    handlers: {
      greeting: sync.greeting,
      welcome (welcome, spoken) {
        session = welcome.session_id ?? null
        sync.welcome(welcome, spoken)
        presence.welcome(welcome, spoken.ext.size > 0)
        blobs.welcome(welcome)
      },
      pack: sync.pack,
      ack: sync.ack,
      error (error) {
        sync.refused(error)
        blobs.message(error)
      },
      message: heard,
      fault,
      state ({ state }) {
        if (state !== 'open' && session !== null) left()
        status.refresh()
      }
    }
  })
  const handles = createHandles(sync, { clock, blobs, onError: fault, ...(options.flushMs === undefined ? {} : { flushMs: options.flushMs }) })
  const status = createStatus(() => ({
    ...connectionOf(link.state),
    synced: sync.synced && !handles.unflushed,
    unsaved: sync.counts.unsaved + Number(handles.unflushed),
    unsent: sync.counts.unsent,
    unacknowledged: sync.counts.unacknowledged,
    blobs: blobs.unsent,
    storage: storage.state
  }), fault)

  function left (): void {
    session = null
    sync.disconnected()
    presence.disconnected()
    blobs.disconnected()
  }

  function heard (message: ServerMessage | UnknownMessage): void {
    if (message.type === 'peer-joined' || message.type === 'peer-left') {
      const { from, pubkey: key, peer_id: peerId, peer_type: peerType } = message
      feed.tell('peer', { type: message.type === 'peer-joined' ? 'joined' : 'left', pubkey: key ?? from, peerId: peerId ?? from, peerType: peerType ?? '' })
    }
    if (!presence.message(message)) blobs.message(message)
    status.refresh()
  }

  const stops = [
    handles.onChange((event) => {
      blobs.referenced(event.maps.flatMap(({ op, value }) => op === 'blob' ? [(value as { hash: string }).hash] : []))
      feed.tell('change', event)
      status.refresh()
    }),
    sync.onCounts(status.refresh),
    sync.onProblem(fault),
    // Told when everybody has heard of the change it made, so that what a listener writes then stands where it should.
    sync.onRejection((rejection) => { queueMicrotask(() => { feed.tell('rejection', rejection) }) }),
    sync.onStorage((error) => {
      storage.state = error !== null ? 'failed' : options.storage === undefined ? 'memory' : 'ok'
      if (error !== null) fault(error)
      status.refresh()
    }),
    blobs.observe((event) => {
      feed.tell('blob', event)
      status.refresh()
    }),
    presence.observe((event) => { feed.tell('presence', event) }),
    status.subscribe((now) => { feed.tell('status', now) }),
    watchPage(handles.flush)
  ]

  let closing: Promise<void> | null = null
  async function close (): Promise<void> {
    handles.close()
    await sync.close()
    presence.close()
    link.close()
    blobs.close()
    status.settle()
    for (const stop of stops) stop()
    await storage.room.close()
  }

  await sync.load()
  await blobs.load()
  loading = false
  return {
    pubkey,
    author: toHex(sync.author),
    clock,
    feed,
    sync,
    link,
    handles,
    blobs,
    status,
    presence: <State extends object>() => presence as unknown as Presence<State>,
    session: () => session,
    subscribe (next) {
      if (!Array.isArray(next) || next.some((pattern) => typeof pattern !== 'string')) throw new TypeError('patterns are texts')
      patterns = next
      link.send({ type: 'subscribe', patterns: next })
    },
    close: () => (closing ??= close())
  }
}
