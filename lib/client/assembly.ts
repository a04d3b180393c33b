import { type Clock, systemClock } from '../clock.js'
import { NodalmergeError } from '../errors.js'
import { toHex } from '../protocol/hex.js'
import type { UnknownMessage } from '../protocol/message.js'
import type { ServerMessage } from '../protocol/server-message.js'
import { createViews } from '../state/views.js'
import { type BlobDriver, createBlobs } from './blobs.js'
import { type DocFeed, createDocFeed } from './doc-event.js'
import { type Following, createFollowing } from './following.js'
import { type Ground, layGround, withoutStorage } from './ground.js'
import { type Handles, createHandles } from './handles.js'
import { type Link, type LinkHandlers, createLink } from './link.js'
import type { DocOptions } from './options.js'
import { createPace } from './pace.js'
import { watchPage } from './page.js'
import { type Presence, type PresenceDriver, createPresence } from './presence.js'
import { type Status, type StatusBoard, connectionOf, createStatus } from './status.js'
import { type Sync, createSync } from './sync.js'

/** A document's parts, put together and loaded, not connected. */
export interface Assembly extends Pick<Handles, 'text' | 'list'> {
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

interface Parts extends Pick<Assembly, 'clock' | 'feed' | 'sync' | 'link' | 'handles' | 'blobs' | 'status'> {
  readonly ground: Ground
  readonly following: Following
  readonly presence: PresenceDriver<object>
  readonly live: Live
}

/** Where the document is in its life. */
interface Live {
  loading: boolean
  /** The present session; its number is null where the server gives none. */
  session: { number: number | null } | null
}

/** Storage that cannot be read is reported and done without, like one that cannot be opened. */
export async function assemble (options: DocOptions): Promise<Assembly> {
  const feed = createDocFeed(options.logger ?? console)
  const ground = await layGround(options, feed)
  try {
    return await build(options, ground, feed)
  } catch (error) {
    return await build(options, await withoutStorage(ground, options, feed, error), feed)
  }
}

async function build (options: DocOptions, ground: Ground, feed: DocFeed): Promise<Assembly> {
  const parts = await makeParts(options, ground, feed).catch(async (error: unknown) => {
    await ground.storage.close()
    throw error
  })
  const { sync, blobs, handles, following, link, live } = parts
  const stops = listen(parts)
  let closing: Promise<void> | null = null
  const close = (): Promise<void> => (closing ??= end(parts, stops))
  try {
    await sync.load()
    await blobs.load()
  } catch (error) {
    await close()
    throw error
  }
  live.loading = false

  function within<Handle> (handle: Handle, key: string): Handle {
    if (!following.follows(key)) throw new NodalmergeError('client.out_of_scope', `${key} is not followed`)
    return handle
  }

  return {
    ...parts,
    pubkey: toHex((await ground.ed25519.signer(ground.seeds.identity)).publicKey),
    author: toHex(sync.author),
    text: (key) => within(handles.text(key), key),
    list: <T>(key: string) => within(handles.list<T>(key), key),
    presence: <State extends object>() => parts.presence as unknown as Presence<State>,
    session: () => live.session?.number ?? null,
    subscribe (patterns) {
      const wider = following.replace(patterns)
      if (!wider) return following.ask()
      // What was left out so far is only found by what a greeting says is held.
      const { state } = link.state
      if (state !== 'connecting' && state !== 'greeting' && state !== 'open') return
      link.disconnect()
      link.connect()
    },
    close
  }
}

async function makeParts (options: DocOptions, ground: Ground, feed: DocFeed): Promise<Parts> {
  const { clock = systemClock, random = Math.random } = options
  const { storage, ed25519, blake3, seeds } = ground
  const fault = (error: unknown): void => { feed.tell('error', error) }
  const send: Link['send'] = (frame) => link.send(frame)
  const pace = createPace(clock)
  const live: Live = { loading: true, session: null }
  const pubkey = toHex((await ed25519.signer(seeds.identity)).publicKey)
  const sync = await createSync({
    storage,
    ed25519,
    seed: seeds.writer,
    blake3,
    clock,
    pace,
    views: (confirmed) => createViews({ confirmed, onConflict: (conflict) => { if (!live.loading) feed.tell('conflict', conflict) } }),
    send,
    resync: () => { link.reauth() },
    cipher: options.encryption
  })
  const blobs = createBlobs({ storage, blake3, clock, random, send, mode: options.blobs, fault })
  const presence = createPresence<object>({ pubkey, clock, send, options: options.presence, fault })
  const following = createFollowing(options.subscribe, send, () => { arrived(parts) })
  const handlers = handlersOf(() => parts, sync, fault)
  const link = createLink({
    ...options, open: ground.open, pubkey, subscribe: () => following.patterns, direct: blobs.direct, clock, random, pace, handlers
  })
  const handles = createHandles(sync, { clock, blobs, onError: fault, ...(options.flushMs === undefined ? {} : { flushMs: options.flushMs }) })
  const status = createStatus(() => statusOf({ ground, link, sync, handles, blobs }), fault)
  const parts: Parts = { ground, clock, feed, sync, link, handles, blobs, presence, following, status, live }
  return parts
}

function statusOf ({ ground, link, sync, handles, blobs }: Pick<Parts, 'ground' | 'link' | 'sync' | 'handles' | 'blobs'>): Status {
  const { unsaved, unsent, unacknowledged } = sync.counts
  return {
    ...connectionOf(link.state),
    synced: sync.synced && !handles.unflushed,
    unsaved: unsaved + Number(handles.unflushed),
    unsent,
    unacknowledged,
    blobs: blobs.unsent,
    storage: ground.kept
  }
}

/** Nothing is heard before the parts are together. */
function handlersOf (parts: () => Parts, sync: Sync, fault: (error: unknown) => void): LinkHandlers {
  return {
    greeting: sync.greeting,
    welcome: (welcome, spoken) => { welcomed(parts(), welcome, spoken) },
    pack (bytes, from) {
      parts().following.pack(from)
      sync.pack(bytes)
    },
    ack: sync.ack,
    error: sync.refused,
    message: (message) => { heard(parts(), message) },
    fault,
    state: () => { moved(parts()) }
  }
}

function welcomed ({ live, sync, presence, blobs, following }: Parts, ...[welcome, spoken]: Parameters<LinkHandlers['welcome']>): void {
  live.session = { number: welcome.session_id ?? null }
  sync.welcome(welcome, spoken)
  presence.welcome(welcome, spoken.ext.size > 0)
  blobs.welcome(welcome)
  following.ask()
}

/** The server has sent what there is of the keys that are followed; once that is taken in, it counts. */
async function arrived ({ live, sync }: Parts): Promise<void> {
  const { session } = live
  await sync.idle()
  if (session === live.session) sync.followed()
}

function moved ({ link, live, sync, presence, blobs, status }: Parts): void {
  if (link.state.state !== 'open' && live.session !== null) {
    live.session = null
    sync.disconnected()
    presence.disconnected()
    blobs.disconnected()
  }
  status.refresh()
}

function heard ({ feed, following, presence, blobs, status }: Parts, message: ServerMessage | UnknownMessage): void {
  if (message.type === 'subscribe-ack') following.acknowledged()
  if (message.type === 'peer-joined' || message.type === 'peer-left') {
    const { pubkey, peer_id: peerId, peer_type: peerType } = message
    feed.tell('peer', { type: message.type === 'peer-joined' ? 'joined' : 'left', pubkey, peerId, peerType })
  }
  if (!presence.message(message)) blobs.message(message)
  status.refresh()
}

function listen ({ ground, feed, sync, blobs, presence, handles, status }: Parts): (() => void)[] {
  return [
    handles.onChange((event) => {
      blobs.referenced(event.maps.flatMap(({ op, value }) => op === 'blob' ? [(value as { hash: string }).hash] : []))
      feed.tell('change', event)
      status.refresh()
    }),
    sync.onCounts(status.refresh),
    sync.onProblem((problem) => { feed.tell('error', problem) }),
    // Told when everybody has heard of the change it made, so that what a listener writes then stands where it should.
    sync.onRejection((rejection) => { queueMicrotask(() => { feed.tell('rejection', rejection) }) }),
    sync.onStorage((error) => {
      ground.kept = error === null ? 'ok' : 'failed'
      if (error !== null) feed.tell('error', error)
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
}

async function end ({ ground, handles, sync, presence, link, blobs, status }: Parts, stops: readonly (() => void)[]): Promise<void> {
  handles.close()
  await sync.close()
  presence.close()
  link.close()
  blobs.close()
  status.settle()
  for (const stop of stops) stop()
  await ground.storage.close()
}
