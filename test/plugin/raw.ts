import { WebSocket } from 'ws'
import type { Message } from '../../lib/testing/connection.js'
import { createWatch } from '../../lib/testing/watch.js'

/** A socket under full control of the test: it sends what it is told, well formed or not, and keeps what comes. */
export interface Raw {
  readonly socket: WebSocket
  /** Every frame received, oldest first. */
  readonly frames: readonly Message[]
  /** The close frame, or 1006 when the connection ended without one. */
  readonly ended: { code: number, reason: string } | null
  /** Resolves once the connection is open. */
  opened (): Promise<void>
  /** A string goes out as it is, a buffer as a binary frame, anything else as JSON. */
  send (message: unknown): void
  /** The oldest frame of that type nobody has asked for yet. */
  next (type: string): Promise<Message>
  until<T> (look: () => T | false | null | undefined, what: string): Promise<T>
  closed (): Promise<{ code: number, reason: string }>
  /** Says hello and waits for the welcome. */
  hello (fields?: object): Promise<Message>
  leave (): Promise<void>
}

const PATIENCE_MS = 10_000

/** Connects to a URL, or takes over a socket that is open already. */
export function connectRaw (to: string | WebSocket): Raw {
  const socket = typeof to === 'string' ? new WebSocket(to) : to
  const frames: Message[] = []
  const unread: Message[] = []
  let ended: { code: number, reason: string } | null = null
  let failure: Error | null = null
  const watch = createWatch(() => `frames: ${frames.slice(-5).map(({ type }) => type).join(', ')}; closed: ${JSON.stringify(ended)}; ${failure?.message ?? ''}`)
  socket.on('open', watch.changed)
  socket.on('error', (error) => {
    failure = error
    watch.changed()
  })
  socket.on('message', (data) => {
    const frame = JSON.parse(String(data)) as Message
    frames.push(frame)
    unread.push(frame)
    watch.changed()
  })
  socket.on('close', (code, reason) => {
    ended = { code, reason: String(reason) }
    watch.changed()
  })
  const until: Raw['until'] = (look, what) => watch.until(look, what, PATIENCE_MS)
  const raw: Raw = {
    socket,
    frames,
    get ended () { return ended },
    async opened () {
      await until(() => {
        if (failure !== null) throw failure
        return socket.readyState === WebSocket.OPEN
      }, 'an open connection')
    },
    send (message) {
      if (typeof message === 'string' || Buffer.isBuffer(message)) socket.send(message)
      else socket.send(JSON.stringify(message))
    },
    next: (type) => until(() => {
      const at = unread.findIndex((frame) => frame.type === type)
      return at < 0 ? null : unread.splice(at, 1)[0]
    }, `a frame of type ${type}`),
    until,
    closed: () => until(() => ended, 'the end of the connection'),
    async hello (fields = {}) {
      await raw.opened()
      raw.send({ type: 'hello', pubkey: 'a'.repeat(64), ...fields })
      return raw.next('welcome')
    },
    async leave () {
      socket.close(1000)
      await raw.closed()
    }
  }
  return raw
}
