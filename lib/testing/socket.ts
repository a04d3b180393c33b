import { utf8Decode } from '../protocol/postcard.js'

/** The part of a WebSocket that a peer uses. Satisfied by `ws`, by a browser's WebSocket and by `createSocketPair`. */
export interface WebSocketLike {
  readonly readyState: number
  send (text: string): void
  close (code?: number, reason?: string): void
  addEventListener (type: 'open' | 'error', listener: () => void): void
  addEventListener (type: 'message', listener: (event: { data: unknown }) => void): void
  addEventListener (type: 'close', listener: (event: { code: number, reason: string }) => void): void
}

export interface Closed { code: number, reason: string }

/** The server's end of a socket pair, with what a room asks of a socket. */
export interface ServerEnd {
  /** Characters handed over but not delivered yet. */
  readonly buffered: number
  send (text: string | Uint8Array): void
  close (code?: number, reason?: string): void
  onMessage (listen: (text: string) => void): void
  onClose (listen: (closed: Closed) => void): void
}

export interface SocketPair { client: WebSocketLike, server: ServerEnd }

interface Listeners {
  open: (() => void)[]
  error: (() => void)[]
  message: ((event: { data: unknown }) => void)[]
  close: ((event: Closed) => void)[]
}

const OPEN = 1
const CLOSED = 3

/**
 * Two ends of a connection without a network. Frames keep their order in each direction; `deliver` decides when each arrives and
 * runs what it is given in order (a microtask unless given).
 */
export function createSocketPair (deliver: (run: () => void) => void = queueMicrotask): SocketPair {
  const listeners: Listeners = { open: [], error: [], message: [], close: [] }
  const server = { message: [] as ((text: string) => void)[], close: [] as ((closed: Closed) => void)[] }
  let state = OPEN
  let buffered = 0

  /** Both ends hear of the end of a connection once, after everything that was sent before it. */
  function close (code = 1005, reason = ''): void {
    deliver(() => {
      if (state === CLOSED) return
      state = CLOSED
      for (const listen of [...server.close, ...listeners.close]) listen({ code, reason })
    })
  }
  function whenOpen (run: () => void): void {
    deliver(() => { if (state === OPEN) run() })
  }

  return {
    client: {
      get readyState () { return state },
      send: (text) => whenOpen(() => { for (const listen of server.message) listen(text) }),
      close,
      addEventListener (type: keyof Listeners, listen: (event: never) => void) {
        const all: Record<keyof Listeners, ((event: never) => void)[]> = listeners
        all[type].push(listen)
      }
    },
    server: {
      get buffered () { return buffered },
      send (frame) {
        const data = typeof frame === 'string' ? frame : utf8Decode(frame, 0, frame.length)
        buffered += data.length
        deliver(() => {
          buffered -= data.length
          if (state === OPEN) for (const listen of listeners.message) listen({ data })
        })
      },
      close,
      onMessage: (listen) => { server.message.push(listen) },
      onClose: (listen) => { server.close.push(listen) }
    }
  }
}
