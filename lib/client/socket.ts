import { MAX_FRAME } from '../protocol/server-message.js'

/** The part of a WebSocket that a link uses; a browser's, that of `ws` and any other of that shape will do. */
export interface WebSocketLike {
  readonly readyState: number
  /** Bytes handed over and not written out yet. */
  readonly bufferedAmount?: number
  send (text: string): void
  close (code?: number, reason?: string): void
  addEventListener (type: 'open' | 'error', listener: () => void): void
  addEventListener (type: 'message', listener: (event: { data: unknown }) => void): void
  addEventListener (type: 'close', listener: (event: { code: number, reason: string }) => void): void
}

export type OpenSocket = (url: string) => WebSocketLike
export type WebSocketClass = new (url: string) => WebSocketLike

/** The value of `readyState` while frames can be sent. */
export const OPEN = 1

/**
 * How sockets are made: with the given class, else with the platform's WebSocket, else (Node before version 22, or when `null` is
 * given) with that of `ws`, of which a bundle for browsers holds three lines.
 */
export async function loadSocket (given: WebSocketClass | null | undefined = platformSocket()): Promise<OpenSocket> {
  if (given) return withClass(given)
  const { WebSocket } = await import('ws')
  return (url) => new WebSocket(url, { perMessageDeflate: false, maxPayload: MAX_FRAME })
}

function withClass (Socket: WebSocketClass): OpenSocket {
  return (url) => new Socket(url)
}

function platformSocket (): WebSocketClass | undefined {
  const { WebSocket }: { WebSocket?: WebSocketClass } = globalThis
  return WebSocket
}

/**
 * Where a room is found (spec/client.md §5.1): `<url>/ws/<room>`, but an address that already ends in `/ws/<something>` is taken as it
 * is, the room then travels in `hello` only. `http` and `https` stand for `ws` and `wss`. Throws TypeError for what is no text and
 * RangeError for an address or a room that cannot be written.
 */
export function roomUrl (url: string, room: string): string {
  if (typeof url !== 'string' || typeof room !== 'string') throw new TypeError('the address and the room are texts')
  if (!/^(ws|http)s?:\/\/[^/?#]/i.test(url)) throw new RangeError(`'${url}' is not an address that starts with ws://, wss://, http:// or https://`)
  const [whole] = url.replace(/^(?:http|ws)(s?)/i, (_scheme, secure: string) => `ws${secure.toLowerCase()}`).split('#', 1)
  const [address] = whole.split('?', 1)
  const base = address.replace(/\/+$/, '')
  return (/\/ws\/[^/]+$/.test(base) ? base : `${base}/ws/${segment(room)}`) + whole.slice(address.length)
}

/** A path of `.` or `..` would be taken for a step: such a room is reached by the door that takes it from `hello` (design §5 row 1). */
function segment (room: string): string {
  if (room === '') throw new RangeError('a room has a name')
  if (room === '.' || room === '..') return 'runtime'
  try {
    return encodeURIComponent(room)
  } catch (cause) {
    throw new RangeError('the name of a room holds no lone surrogate', { cause })
  }
}
