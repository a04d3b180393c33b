import type { WebSocketLike } from '../../lib/client/socket.js'

/** A socket whose other end is the test. */
export interface ScriptedSocket extends WebSocketLike {
  readonly url: string
  /** What the client sent, as parsed. */
  readonly sent: Record<string, unknown>[]
  /** How the client closed it. */
  left: { code: number | undefined, reason: string | undefined } | null
  bufferedAmount?: number
  open (): void
  /** A frame from the server: an object as JSON, anything else as it is. */
  frame (data: unknown): void
  end (code: number, reason?: string): void
  /** From now on `send` or `close` with a code throws. */
  broken: 'send' | 'close' | null
}

export interface ScriptedServer {
  readonly sockets: readonly ScriptedSocket[]
  /** The newest one. */
  readonly last: ScriptedSocket
  open (url: string): ScriptedSocket
  /** From now on making a socket throws. */
  refuse: boolean
  /** Sockets are open as soon as they are made. */
  quick: boolean
}

type Listener = (event: never) => void

export function scriptedServer (): ScriptedServer {
  const sockets: ScriptedSocket[] = []
  const server: ScriptedServer = {
    sockets,
    get last () { return sockets[sockets.length - 1] },
    refuse: false,
    quick: false,
    open (url) {
      if (server.refuse) throw new SyntaxError('that is no address')
      const socket = scriptedSocket(url, server.quick ? 1 : 0)
      sockets.push(socket)
      return socket
    }
  }
  return server
}

function scriptedSocket (url: string, initial: number): ScriptedSocket {
  const listeners = new Map<string, Listener[]>()
  let readyState = initial
  const tell = (type: string, event: object): void => { for (const listen of listeners.get(type) ?? []) listen(event as never) }
  const socket: ScriptedSocket = {
    url,
    sent: [],
    left: null,
    broken: null,
    get readyState () { return readyState },
    addEventListener (type: string, listen: Listener) { listeners.set(type, [...listeners.get(type) ?? [], listen]) },
    send (text) {
      if (socket.broken === 'send') throw new Error('closing')
      socket.sent.push(JSON.parse(text) as Record<string, unknown>)
    },
    close (code, reason) {
      if (socket.broken === 'close' && code !== undefined) throw new RangeError('not that code')
      socket.left = { code, reason }
      readyState = 3
    },
    open () {
      readyState = 1
      tell('open', {})
    },
    frame: (data) => { tell('message', { data: typeof data === 'object' && data !== null && !ArrayBuffer.isView(data) ? JSON.stringify(data) : data }) },
    end (code, reason = '') {
      readyState = 3
      tell('error', {})
      tell('close', { code, reason })
    }
  }
  return socket
}

/** A welcome of our server. */
export const WELCOME = {
  type: 'welcome',
  room: 'plans',
  session_id: 7,
  root: 'ab'.repeat(32),
  frontier: [],
  missing: [],
  caps: { supports_mst: false },
  server_pubkey: 'cd'.repeat(32),
  peers: [],
  ext: ['literal-missing', 'ack', 'rate', 'never-offered'],
  rate: { nodes: 1000, bytes: 4_194_304 }
}

/** Everything that was to happen at once has happened. */
export async function settled (): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
}
