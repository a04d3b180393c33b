import { OPEN, type WebSocketLike } from './socket.js'

export interface Closed { code: number, reason: string }

export interface ConnectionEvents {
  /** Frames can be sent. May come before `createConnection` returns. */
  open (connection: Connection): void
  frame (text: string): void
  /** The protocol has no binary frames. */
  binary (): void
  /** Once, however the end came about; never after `leave`. */
  closed (closed: Closed): void
}

/** One socket, from its making to its end. */
export interface Connection {
  /** Bytes handed over and not written out yet; 0 where the socket does not say. */
  readonly buffered: number
  /** Whether the frame was handed over. Never throws. */
  send (text: string): boolean
  /** Closes the socket and hears no more of it. */
  leave (code?: number, reason?: string): void
}

/** What a browser shows of a connection that did not end in order. */
const ABNORMAL = 1006

/** Listens to a socket until it ends. */
export function createConnection (socket: WebSocketLike, events: ConnectionEvents): Connection {
  let left = false
  let opened = false
  const opens = (): void => {
    if (left || opened) return
    opened = true
    events.open(connection)
  }
  const ends = (closed: Closed): void => {
    if (left) return
    left = true
    events.closed(closed)
  }

  const connection: Connection = {
    get buffered () { return socket.bufferedAmount ?? 0 },
    send (text) {
      if (socket.readyState !== OPEN) return false
      try {
        socket.send(text)
        return true
      } catch {
        // It is closing; its end will be told.
        return false
      }
    },
    leave (code = 1000, reason = '') {
      left = true
      try {
        socket.close(code, reason)
      } catch {
        // A code that a platform refuses to send: without one it always closes.
        socket.close()
      }
    }
  }
  socket.addEventListener('open', opens)
  socket.addEventListener('message', ({ data }) => {
    if (left) return
    if (typeof data === 'string') events.frame(data)
    else events.binary()
  })
  // What went wrong is not told to pages; the end that follows is what counts.
  socket.addEventListener('error', () => {})
  socket.addEventListener('close', ({ code, reason }) => { ends({ code: typeof code === 'number' ? code : ABNORMAL, reason: String(reason) }) })
  if (socket.readyState === OPEN) opens()
  return connection
}
