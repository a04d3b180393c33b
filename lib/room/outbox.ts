import type { Limits } from './limits.js'
import type { Clock } from '../clock.js'
import type { Turn } from './turn.js'

/** A socket as the room layer sees it. */
export interface Socket {
  /** Sends text frames, already encoded, as one write; `written` is called when the transport has taken them. */
  send (frames: readonly Uint8Array[], written: (error?: Error) => void): void
  close (code: number, reason: string): void
  /** Drops the connection without a close handshake. */
  terminate (): void
  ping (): void
  /** Stops and starts the arrival of frames. */
  pause (): void
  resume (): void
}

/**
 * The way out of one session: a queue of frames in order, one write at a time. Answers to the session's own messages wait as long as
 * they must (the session stops reading meanwhile); broadcasts are bounded, and a reader that falls further behind is `lagged`
 * (spec/session-protocol.md §6.5).
 */
export interface Outbox {
  reply (frame: Uint8Array): void
  /** With a `key`, a frame of the same key that still waits is replaced: only the newest presence of a peer matters. */
  broadcast (frame: Uint8Array, key?: string): void
  /** Resolves once little enough is queued that more may be produced. */
  ready (): Promise<void>
  /** Resolves when everything queued so far was handed to the transport, or the session ended. */
  drained (): Promise<void>
  /** When the write that is under way began, or null. */
  writingSince (): number | null
  close (): void
}

interface Entry { frame: Uint8Array, key: string | undefined, counted: boolean }

/** Bytes handed to the transport in one write: large enough to amortise it, small enough to notice a reader that stopped. */
const WRITE_BYTES = 1 << 20
/** Bytes queued above which producers wait. */
const HIGH_WATER = 2 << 20

export function createOutbox (socket: Socket, limits: Limits, clock: Clock, turn: Turn, lagged: () => void): Outbox {
  let queue: Entry[] = []
  const keyed = new Map<string, Entry>()
  let waiters: Array<{ below: number, resolve: () => void }> = []
  let bytes = 0
  let counted = 0
  let since: number | null = null
  let deferred = false
  let closed = false

  function push (entry: Entry): void {
    if (closed) return
    queue.push(entry)
    bytes += entry.frame.length
    if (entry.counted) counted++
    schedule()
  }

  function schedule (): void {
    if (deferred || since !== null) return
    deferred = true
    turn.defer(flush)
  }

  function flush (): void {
    deferred = false
    if (closed || since !== null || queue.length === 0) return
    const frames: Uint8Array[] = []
    let size = 0
    let taken = 0
    while (taken < queue.length && (taken === 0 || size + queue[taken].frame.length <= WRITE_BYTES)) {
      const entry = queue[taken++]
      size += entry.frame.length
      if (entry.counted) counted--
      if (entry.key !== undefined) keyed.delete(entry.key)
      frames.push(entry.frame)
    }
    queue = taken === queue.length ? [] : queue.slice(taken)
    since = clock.now()
    socket.send(frames, (error) => written(size, error))
  }

  function written (size: number, error: Error | undefined): void {
    if (closed) return
    since = null
    bytes -= size
    if (error !== undefined) return close()
    wake()
    if (queue.length > 0) schedule()
  }

  function wake (): void {
    if (waiters.length === 0) return
    const served = waiters.filter((waiter) => bytes <= waiter.below)
    waiters = waiters.filter((waiter) => bytes > waiter.below)
    for (const waiter of served) waiter.resolve()
  }

  function below (limit: number): Promise<void> {
    if (closed || bytes <= limit) return Promise.resolve()
    return new Promise((resolve) => waiters.push({ below: limit, resolve }))
  }

  function close (): void {
    closed = true
    queue = []
    keyed.clear()
    bytes = 0
    since = null
    wake()
  }

  return {
    reply: (frame) => push({ frame, key: undefined, counted: false }),
    broadcast (frame, key) {
      const waiting = key === undefined ? undefined : keyed.get(key)
      if (waiting !== undefined) {
        bytes += frame.length - waiting.frame.length
        waiting.frame = frame
        return
      }
      if (counted >= limits.outboxFrames || bytes > limits.outboxBytes) return lagged()
      const entry = { frame, key, counted: true }
      push(entry)
      if (key !== undefined && !closed) keyed.set(key, entry)
    },
    ready: () => below(HIGH_WATER),
    drained: () => below(0),
    writingSince: () => since,
    close
  }
}
