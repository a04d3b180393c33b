import type { Clock } from '../clock.js'
import { RECONNECT, type Reconnect, createBackoff } from './backoff.js'
import type { Sequel } from './closing.js'
import type { ClientFrame } from './frame.js'
import { type Network, platformNetwork } from './network.js'
import type { Pace } from './pace.js'
import { type Session, type SessionHandlers, createSession } from './session.js'
import { type OpenSocket, roomUrl } from './socket.js'
import { type Auth, createTokenSource } from './token.js'

export type { Greeting } from './greeting.js'

/**
 * Where a link stands. `offline`: not asked to connect, or there is no network. `waiting`: another attempt follows by itself.
 * `denied`: the server refused for good; only `connect` or `reauth` tries again. `code` is the close code, 0 when the host's own
 * callback refused.
 */
export type LinkState =
  | { state: 'offline' }
  | { state: 'connecting' }
  | { state: 'greeting' }
  | { state: 'open' }
  | { state: 'waiting', retryInMs: number, attempt: number, reason?: string }
  | { state: 'denied', code: number, reason: string }
  | { state: 'closed' }

export interface LinkHandlers extends SessionHandlers {
  state (state: LinkState): void
}

export interface LinkOptions {
  url: string
  room: string
  /** The key this client writes with, in hexadecimal. */
  pubkey: string
  open: OpenSocket
  auth?: Auth | undefined
  /** Patterns for `hello`; everything when there are none. */
  subscribe?: (() => readonly string[] | undefined) | undefined
  /** Whether blobs may travel by presigned addresses; true unless said otherwise. */
  direct?: boolean | undefined
  clock: Clock
  /** Numbers in [0, 1). */
  random: () => number
  pace: Pace
  reconnect?: Partial<Reconnect> | undefined
  network?: Network | undefined
  handlers: LinkHandlers
}

/** The connection of a client to a room's server, over all its interruptions (spec/client.md §11.2). Nothing in it throws. */
export interface Link {
  readonly state: LinkState
  /** Extensions of the present session; empty with an original server. */
  readonly ext: ReadonlySet<string>
  /** Bytes handed to the socket and not written out yet. */
  readonly buffered: number
  /** False when there is no session; the frame is then not kept. */
  send (message: ClientFrame): boolean
  /** Connects, and stays connected until `disconnect`. */
  connect (): void
  disconnect (): void
  /** Asks for another token and connects with it, also after a refusal. */
  reauth (): void
  /** For good. */
  close (): void
}

const LOOPBACK = /^wss?:\/\/(localhost|127(\.\d+){3}|\[::1\])[:/]/i
const NONE: ReadonlySet<string> = new Set()

/** A link that is not connected yet. Throws what `roomUrl` throws. */
export function createLink (options: LinkOptions): Link {
  const { clock, handlers, pace, network = platformNetwork(), room, pubkey } = options
  const { stableMs, ...delays } = { ...RECONNECT, ...options.reconnect }
  const address = roomUrl(options.url, room)
  const backoff = createBackoff(delays, options.random)
  const tokens = createTokenSource({ auth: options.auth, room, pubkey, clock, failed: handlers.fault })
  let state: LinkState = { state: 'offline' }
  let ext = NONE
  let wanted = false
  let session: Session | null = null
  let cancel = (): void => {}
  const unwatch = network.watch(networkChanged)
  /** A server on this machine needs no network. */
  const reachable = (): boolean => network.online || LOOPBACK.test(address)

  function become (next: LinkState): void {
    state = next
    handlers.state(next)
  }

  function start (): void {
    halt()
    if (!reachable()) return become({ state: 'offline' })
    session = createSession({
      address,
      hello: { room, pubkey, direct: options.direct ?? true },
      subscribe: options.subscribe ?? (() => undefined),
      open: options.open,
      tokens,
      clock,
      handlers,
      greeted: () => { become({ state: 'greeting' }) },
      begun (welcome, spoken) {
        ext = spoken
        pace.welcomed({ known: spoken.size > 0, rate: welcome.rate })
        cancel = clock.after(stableMs, backoff.reset)
        become({ state: 'open' })
      },
      ended: follow
    })
    become({ state: 'connecting' })
  }

  /** Leaves the session or the wait that there is. */
  function halt (): void {
    cancel()
    ext = NONE
    const former = session
    session = null
    former?.leave()
  }

  function follow (sequel: Sequel): void {
    halt()
    if (sequel.then === 'denied') {
      const { code, reason } = sequel
      tokens.invalidate()
      return become({ state: 'denied', code, reason })
    }
    const { atOnce, atLeastMs, refresh, pressure, reason } = sequel
    if (refresh) tokens.spent()
    if (pressure !== null) pace.strained(pressure)
    const attempt = backoff.attempt + 1
    const delay = backoff.next(atLeastMs)
    // A server that sends everybody back at once, every time, is not hurried after.
    if (atOnce && attempt === 1) return start()
    cancel = clock.after(delay, start)
    become({ state: 'waiting', retryInMs: delay, attempt, reason })
  }

  function networkChanged (): void {
    if (!wanted) return
    if (!reachable()) {
      if (state.state !== 'waiting') return
      halt()
      become({ state: 'offline' })
    } else {
      if (state.state === 'waiting' || state.state === 'offline') start()
      else session?.probe()
    }
  }

  function stop (last: LinkState): void {
    wanted = false
    halt()
    tokens.rest()
    backoff.reset()
    if (state.state !== last.state) become(last)
  }

  return {
    get state () { return state },
    get ext () { return ext },
    get buffered () { return session?.buffered ?? 0 },
    send: (message) => session !== null && session.send(message),
    connect () {
      if (state.state === 'closed') return
      wanted = true
      if (state.state === 'offline' || state.state === 'waiting' || state.state === 'denied') start()
    },
    disconnect () { if (state.state !== 'closed') stop({ state: 'offline' }) },
    reauth () {
      tokens.invalidate()
      if (wanted) start()
    },
    close () {
      unwatch()
      stop({ state: 'closed' })
    }
  }
}
