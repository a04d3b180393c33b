import type { Message } from '../../lib/testing/connection.js'
import type { WebSocketLike } from '../../lib/testing/socket.js'
import { createWatch } from '../../lib/testing/watch.js'

/** Frames and characters in one direction, and how many frames of each type. */
export interface Count { frames: number, bytes: number, types: Record<string, number> }

export interface Counts { up: Count, down: Count }

/** What both emulators have in common: where sockets come from, what is counted, and waiting on events. */
export interface Wire {
  readonly counts: Counts
  readonly errors: string[]
  /** Every inbound message, as parsed. */
  readonly inbound: Message[]
  /** False when no socket is open: then nothing is sent and nothing kept. */
  send (message: Message): boolean
  readonly open: boolean
  /** Attaches a socket; the handlers are called for as long as it is the present one. */
  attach (socket: WebSocketLike, on: { open: () => void, message: (message: Message) => void, close: (code: number) => void }): void
  detach (): void
  until<T> (look: () => T | false | null | undefined, what?: string, within?: number): Promise<T>
  changed (): void
}

const emptyCount = (): Count => ({ frames: 0, bytes: 0, types: {} })

function tally (count: Count, text: string, type: string): void {
  count.frames++
  count.bytes += text.length
  count.types[type] = (count.types[type] ?? 0) + 1
}

export function createWire (): Wire {
  const counts: Counts = { up: emptyCount(), down: emptyCount() }
  const errors: string[] = []
  const inbound: Message[] = []
  let present: WebSocketLike | null = null
  const watch = createWatch(() => `last inbound: ${inbound.slice(-5).map((message) => message.type).join(', ')}; errors: ${errors.slice(-3).join(' | ')}`)
  return {
    counts,
    errors,
    inbound,
    get open () { return present?.readyState === 1 },
    send (message) {
      if (present?.readyState !== 1) return false
      const text = JSON.stringify(message)
      tally(counts.up, text, message.type)
      present.send(text)
      return true
    },
    attach (socket, on) {
      present = socket
      const own = <E>(run: (event: E) => void) => (event: E) => {
        if (present !== socket) return
        run(event)
        watch.changed()
      }
      const opened = own<null>(() => { on.open() })
      socket.addEventListener('open', () => { opened(null) })
      socket.addEventListener('error', () => { errors.push('socket error') })
      socket.addEventListener('message', own(({ data }) => {
        const message = JSON.parse(String(data)) as Message
        tally(counts.down, String(data), message.type)
        inbound.push(message)
        on.message(message)
      }))
      socket.addEventListener('close', own(({ code }) => {
        present = null
        on.close(code)
      }))
      if (socket.readyState === 1) opened(null)
    },
    detach () {
      const socket = present
      present = null
      socket?.close(1000)
    },
    until: async (look, what = 'condition', within = 10_000) => await watch.until(look, what, within),
    changed: watch.changed
  }
}

/** The real clock; `scale` shortens the long delays of the originals. */
export function createTimers (scale = 1): { now: () => number, after: (ms: number, run: () => void) => () => void } {
  return {
    now: Date.now,
    after (ms, run) {
      const timer = setTimeout(run, ms * scale).unref()
      return () => { clearTimeout(timer) }
    }
  }
}
