import type { Clock } from '../clock.js'
import { NodalmergeError } from '../errors.js'
import type { PresenceEntry, ServerMessage, ServerMessageOf, Welcome } from '../protocol/server-message.js'
import type { UnknownMessage } from '../protocol/message.js'
import type { ClientFrame } from './frame.js'
import { type Throttle, createThrottle } from './throttle.js'

/** Somebody else in the room: one live connection, or a public key where the server does not tell connections apart. */
export interface Other<State> {
  /** Null with a server or a peer that says no more than the key. */
  sessionId: number | null
  pubkey: string
  state: State
  /** Unix milliseconds of the last word. */
  lastSeen: number
}

export interface PresenceEvent<State> {
  type: 'join' | 'update' | 'leave'
  peer: Other<State>
  /** Of a leave: gone, unheard of for too long, or with nothing more to show. */
  reason?: 'disconnect' | 'stale' | 'cleared'
}

/** Times in milliseconds. */
export interface PresenceOptions {
  /** How often one's own state is said again; 15,000, 0 for never. */
  heartbeatMs?: number
  /** After how long somebody unheard of is taken to be gone; 45,000, 0 for never. */
  staleMs?: number
  /** Least time between two own states; 50. The last one is always sent. */
  throttleMs?: number
}

/** Who is here and what they show: cursors, names. Never stored; a state is any JSON object of at most 64 KiB. */
export interface Presence<State extends object = Record<string, unknown>> {
  /** Merges into one's own state and tells the others. Throws RangeError for a state that is too large. Returns the state. */
  set (patch: Partial<State>): State
  setField<Key extends keyof State> (key: Key, value: State[Key]): State
  /** Shows nothing more. */
  clear (): void
  /** One's own state; undefined until something was set. */
  me (): State | undefined
  others (): Other<State>[]
  observe (listen: (event: PresenceEvent<State>) => void): () => void
}

/** Presence as its link drives it. */
export interface PresenceDriver<State extends object = Record<string, unknown>> extends Presence<State> {
  /** A session began; `ours` says that the server speaks an extension of ours. */
  welcome (welcome: Welcome, ours: boolean): void
  /** Whether the message was about presence. */
  message (message: ServerMessage | UnknownMessage): boolean
  disconnected (): void
  close (): void
}

export interface PresenceParts {
  /** One's own key in hexadecimal. */
  pubkey: string
  clock: Clock
  send: (message: ClientFrame) => boolean
  options?: PresenceOptions | undefined
  /** Told what a listener threw. */
  fault: (error: unknown) => void
}

/** States kept of others, whatever a server says; and the size of one as JSON, which is what our server allows. */
const MAX_OTHERS = 4_096
const MAX_STATE = 64 * 1024
/** How long a newcomer waits to be told, so that many of them are told at once. */
const NEWCOMER_MS = 1_000
/** The sweep comes three times in `staleMs`, and no more often than each second (spec/client.md §5.14). */
const LEAST_SWEEP_MS = 1_000

export function createPresence<State extends object> (parts: PresenceParts): PresenceDriver<State> {
  const { clock, pubkey, send } = parts
  const { heartbeatMs = 15_000, staleMs = 45_000, throttleMs = 50 } = parts.options ?? {}
  const others = new Map<string, Other<State>>()
  const listeners = new Set<(event: PresenceEvent<State>) => void>()
  let own: State | null = null
  /** One's own session where the server tells sessions apart; null elsewhere. */
  let session: number | null = null
  let live = false
  let cancelSweep = (): void => {}
  const speech: Throttle = createThrottle(clock, throttleMs, say)

  function say (): void {
    send({ type: session === null ? 'presence' : 'presence-set', data: own })
    if (heartbeatMs > 0 && own !== null) speech.within(heartbeatMs)
  }

  function tell (event: PresenceEvent<State>): void {
    for (const listen of [...listeners]) {
      try {
        listen(event)
      } catch (error) {
        parts.fault(error)
      }
    }
  }

  function drop (key: string, reason: 'disconnect' | 'stale' | 'cleared'): void {
    const peer = others.get(key)
    if (peer === undefined) return
    others.delete(key)
    tell({ type: 'leave', peer, reason })
  }

  function hear (sessionId: number | null, from: string, data: unknown): void {
    if (sessionId === null ? from === pubkey : sessionId === session) return
    const key = nameOf(others, sessionId, from)
    if (data === null) return drop(key, 'cleared')
    if (!isState<State>(data)) throw new NodalmergeError('reject.protocol_invalid_field', 'presence: the state cannot be used')
    const known = others.get(key)
    if (known === undefined && others.size >= MAX_OTHERS) throw new NodalmergeError('reject.protocol_message_too_large', 'presence: too many peers')
    const peer = { sessionId: known?.sessionId ?? sessionId, pubkey: from, state: data, lastSeen: clock.now() }
    others.set(key, peer)
    tell({ type: known === undefined ? 'join' : 'update', peer })
  }

  /** What the server lists is all there is of sessions. An entry that cannot be used costs itself alone. */
  function replace (entries: readonly PresenceEntry[]): void {
    const listed = new Set(entries.map(({ session_id: id, from_peer_pubkey: from }) => keyOf(id ?? null, from)))
    for (const [key, { sessionId }] of others) if (sessionId !== null && !listed.has(key)) drop(key, 'disconnect')
    const faults = entries.flatMap(({ session_id: id, from_peer_pubkey: from, data }) => {
      try {
        hear(id ?? null, from, data)
        return []
      } catch (fault) {
        return [fault]
      }
    })
    if (faults.length > 0) throw faults[0]
  }

  function leave ({ session_id: id, from, reason }: ServerMessageOf<'presence-leave'>): void {
    const key = keyOf(id ?? null, from)
    drop(others.has(key) ? key : keyOf(null, from), reason === 'stale' ? 'stale' : 'disconnect')
  }

  /** Sessions of a server that says when they end need no sweeping while it can. */
  function sweep (): void {
    cancelSweep = clock.after(Math.max(LEAST_SWEEP_MS, staleMs / 3), sweep)
    const sure = live && session !== null
    for (const [key, { sessionId, lastSeen }] of others) {
      if (clock.now() - lastSeen >= staleMs && !(sure && sessionId !== null)) drop(key, 'stale')
    }
  }

  /** Original clients wait to be told (spec/client.md §5.9). Where most ask the server themselves, those few wait a moment. */
  function welcomeThem (): void {
    if (session === null) speech.ask()
    else speech.within(NEWCOMER_MS)
  }

  function become (next: State): State {
    if (JSON.stringify(next).length > MAX_STATE) throw new RangeError(`a presence state has at most ${MAX_STATE} characters of JSON`)
    own = next
    if (live) speech.ask()
    return next
  }

  if (staleMs > 0) sweep()
  return {
    set (patch) {
      if (typeof patch !== 'object' || patch === null) throw new TypeError('a presence state is an object')
      return become(Object.assign({}, own, patch))
    },
    setField: (key, value) => become(Object.assign({}, own, { [key]: value })),
    clear () {
      if (own === null) return
      own = null
      if (live) speech.ask()
    },
    me: () => own ?? undefined,
    others: () => [...others.values()],
    observe (listen) {
      listeners.add(listen)
      return () => { listeners.delete(listen) }
    },
    welcome ({ session_id: id }, ours) {
      session = ours ? id ?? null : null
      live = true
      if (session !== null) send({ type: 'presence-get' })
      if (own !== null) speech.ask()
    },
    message (message) {
      switch (message.type) {
        case 'presence': hear(message.session_id ?? null, message.from, message.data)
          return true
        case 'presence-snapshot': replace(message.entries)
          return true
        case 'presence-leave': leave(message)
          return true
        case 'peer-joined':
          if (own !== null && live) welcomeThem()
          return false
        case 'peer-left':
          for (const [key, peer] of others) if (peer.pubkey === message.from) drop(key, 'disconnect')
          return false
        default: return false
      }
    },
    disconnected () {
      live = false
      session = null
      speech.cancel()
    },
    close () {
      live = false
      speech.cancel()
      cancelSweep()
      listeners.clear()
      others.clear()
    }
  }
}

function keyOf (sessionId: number | null, from: string): string {
  return sessionId === null ? `key ${from}` : `session ${sessionId}`
}

/** A peer that speaks without naming its session, in a room whose server does: it is the one that the server has listed for that key. */
function nameOf (others: ReadonlyMap<string, Other<unknown>>, sessionId: number | null, from: string): string {
  if (sessionId !== null) return keyOf(sessionId, from)
  const sessions = [...others.values()].filter((peer) => peer.pubkey === from && peer.sessionId !== null)
  return sessions.length === 1 ? keyOf(sessions[0].sessionId, from) : keyOf(null, from)
}

/** An object that is not larger than anybody may send. */
function isState<State extends object> (data: unknown): data is State {
  return typeof data === 'object' && data !== null && JSON.stringify(data).length <= MAX_STATE
}
