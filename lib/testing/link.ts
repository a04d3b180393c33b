import { fromBase64 } from '../protocol/base64.js'
import { toHex } from '../protocol/hex.js'
import { type Peer, chunkNodes } from './peer.js'
import type { Closed, WebSocketLike } from './socket.js'

/** One frame as JSON. */
export interface Message { type: string, [field: string]: unknown }

/** What went over the socket in one direction; `bytes` counts the characters of its text frames. */
export interface Traffic { frames: number, bytes: number }

/** The state of a peer's connection, and what is done with each frame. */
export interface Link {
  readonly peer: Peer
  readonly chunk: number
  socket: WebSocketLike | null
  state: 'connecting' | 'greeted' | 'live' | 'closed'
  welcome: Message | null
  readonly frames: Message[]
  readonly sent: Traffic
  readonly received: Traffic
  /** Nodes handed over, or waiting for `welcome`, by id in the order of sending. */
  unacknowledged: Map<string, Uint8Array>
  /** Ids of each pack that waits for its `pack-ack`, by the number it was sent under. */
  readonly packs: Map<number, string[]>
  packNumber: number
  readonly refused: Map<string, string>
  ended: Closed | null
}

export interface LinkEvents {
  greeting: () => Message
  changed: () => void
}

export function createLink (peer: Peer, chunk: number): Link {
  return {
    peer,
    chunk,
    socket: null,
    state: 'connecting',
    welcome: null,
    frames: [],
    sent: { frames: 0, bytes: 0 },
    received: { frames: 0, bytes: 0 },
    unacknowledged: new Map(),
    packs: new Map(),
    packNumber: 0,
    refused: new Map(),
    ended: null
  }
}

export function situation (link: Link): string {
  const last = link.frames.slice(-5).map((message) => message.type).join(', ')
  return `${link.state}, ${link.unacknowledged.size} node(s) unacknowledged, last frames: ${last === '' ? 'none' : last}`
}

/** Opens a socket and makes it the link's own. */
export function start (link: Link, open: () => WebSocketLike | Promise<WebSocketLike>, events: LinkEvents): void {
  link.state = 'connecting'
  link.ended = null
  link.packs.clear()
  const socket = open()
  if (!(socket instanceof Promise)) { attach(link, socket, events); return }
  socket.then((opened) => { attach(link, opened, events) }, (error: unknown) => {
    link.state = 'closed'
    link.ended = { code: 1006, reason: String(error) }
    events.changed()
  })
}

/** Listens to a socket for as long as it is the link's own. */
function attach (link: Link, socket: WebSocketLike, events: LinkEvents): void {
  link.socket = socket
  const own = <E>(run: (event: E) => void) => (event: E) => {
    if (link.socket !== socket) return
    run(event)
    events.changed()
  }
  const greet = own(() => {
    link.state = 'greeted'
    send(link, events.greeting())
  })
  socket.addEventListener('open', () => { greet(null) })
  socket.addEventListener('error', events.changed)
  socket.addEventListener('message', own(({ data }) => { receive(link, String(data)) }))
  socket.addEventListener('close', own(({ code, reason }) => {
    link.state = 'closed'
    link.ended = { code, reason }
    link.socket = null
  }))
  if (socket.readyState === 1) greet(null)
}

/** Forgets the present socket before it is closed: its late events belong to the past. */
export function leave (link: Link): void {
  const socket = link.socket
  link.socket = null
  socket?.close(1000)
}

export function send (link: Link, message: Message): void {
  if (link.socket === null) throw new Error(`not connected, cannot send ${message.type}`)
  const text = JSON.stringify(message)
  link.sent.frames++
  link.sent.bytes += text.length
  link.socket.send(text)
}

const nodeIdOf = (node: Uint8Array): string => toHex(node.subarray(0, 32))

/** Sends nodes now, or leaves them to the next `welcome`. */
export function publish (link: Link, nodes: readonly Uint8Array[]): void {
  for (const node of nodes) link.unacknowledged.set(nodeIdOf(node), node)
  if (link.state === 'live') sendPacks(link, nodes)
}

export function sendPacks (link: Link, nodes: readonly Uint8Array[]): void {
  for (const pack of chunkNodes(nodes, link.chunk)) {
    const id = ++link.packNumber
    link.packs.set(id, pack.nodes.map(nodeIdOf))
    send(link, { type: 'pack', id, nodes: pack.text })
  }
}

function receive (link: Link, text: string): void {
  const message = JSON.parse(text) as Message
  link.received.frames++
  link.received.bytes += text.length
  link.frames.push(message)
  if (message.type === 'welcome') welcomed(link, message)
  else if (message.type === 'pack' && typeof message.nodes === 'string') link.peer.receive(fromBase64(message.nodes))
  else if (message.type === 'pack-ack') acknowledged(link, message)
}

const texts = (value: unknown): string[] => Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : []

/** The server has the ancestors of its heads and nothing else: the rest goes to it, whatever earlier sessions acknowledged. */
function welcomed (link: Link, message: Message): void {
  link.welcome = message
  link.state = 'live'
  const lacking = message.root === link.peer.root ? [] : link.peer.beyond(texts(message.frontier))
  link.unacknowledged = new Map(lacking.map((node) => [nodeIdOf(node), node]))
  sendPacks(link, lacking)
}

/** By the echoed number when there is one, otherwise in the order of sending. */
function acknowledged (link: Link, message: Message): void {
  const number = typeof message.id === 'number' ? message.id : [...link.packs.keys()][0]
  for (const id of link.packs.get(number) ?? []) link.unacknowledged.delete(id)
  link.packs.delete(number)
  for (const entry of Array.isArray(message.rejected) ? message.rejected as unknown[] : []) {
    const { id, code } = entry as { id?: unknown, code?: unknown }
    if (typeof id === 'string') link.refused.set(id, String(code))
  }
}

/** Whether the announced heads have arrived and every own node is acknowledged. Throws when the connection has ended. */
export function isSynced (link: Link): boolean {
  if (link.ended !== null) throw new Error(`not in sync: closed with ${link.ended.code} ${link.ended.reason}`)
  return link.state === 'live' && link.unacknowledged.size === 0 && texts(link.welcome?.frontier).every((id) => link.peer.has(id))
}
