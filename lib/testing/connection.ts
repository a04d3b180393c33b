import type { Op } from '../protocol/op.js'
import {
  type Link, type Message, type Traffic, createLink, isSynced, leave, publish, send, sendPacks, situation, start
} from './link.js'
import type { Peer } from './peer.js'
import type { Closed, WebSocketLike } from './socket.js'
import { type Watch, createWatch } from './watch.js'

export type { Message, Traffic } from './link.js'

export interface ConnectOptions {
  peer: Peer
  room: string
  /** Makes the socket, once now and once for every `reconnect`. */
  open: () => WebSocketLike | Promise<WebSocketLike>
  /** Longest pack sent, in base64 characters; 49,152 unless given. */
  chunk?: number
  /** Further fields of `hello`, such as `token`, `subscribe` or `caps`; they win over the defaults. */
  hello?: Record<string, unknown>
  /** How long the waiting methods wait unless told, in milliseconds; 5,000 unless given. */
  within?: number
}

/** Methods that wait for events; each rejects after `within` milliseconds with what was missing. */
export interface Waits {
  /** Waits for a frame that arrives after this call. */
  next (type: string, within?: number): Promise<Message>
  /** Waits until `look` gives a value other than false, null and undefined; looked at again after every event. */
  until<T> (look: () => T | false | null | undefined, what?: string, within?: number): Promise<T>
  /** Waits until the announced heads have arrived and nothing is unacknowledged. Rejects at once when the connection ends first. */
  synced (within?: number): Promise<void>
  closed (within?: number): Promise<Closed>
}

/** A peer's connection to a server: sends what the server lacks, takes in what comes, keeps every frame for the test to look at. */
export interface PeerConnection extends Waits {
  readonly peer: Peer
  /** `greeted` after `hello` went out, `live` after `welcome` came. */
  readonly state: Link['state']
  /** The last `welcome`. */
  readonly welcome: Message | null
  /** Every frame received since the beginning, over all reconnects. */
  readonly frames: readonly Message[]
  readonly sent: Readonly<Traffic>
  readonly received: Readonly<Traffic>
  /** How many nodes were handed over, or wait for `welcome`, and are not acknowledged. */
  readonly unacknowledged: number
  /** Ids that the server refused, with its code. */
  readonly refused: ReadonlyMap<string, string>
  /** Writes one node and sends it; before `welcome` and while closed it waits for the next `welcome`. Returns its encoding. */
  write (ops: Op[]): Uint8Array
  /** Sends nodes that the peer already holds, in packs of at most `chunk`. */
  publish (nodes: readonly Uint8Array[]): void
  /** Sends everything that is not acknowledged once more. */
  resend (): void
  /** Sends any frame. Throws when there is no socket. */
  send (message: Message): void
  /** Leaves the present socket, when there is one, and opens another. What the server lacks is sent again after `welcome`. */
  reconnect (): void
  close (): void
}

const CLIENT = { name: 'nodalmerge-testing', version: '1', ext: ['ack', 'literal-missing'] }

/** Connects a peer. The connection starts at once; wait for `synced()` or `until()`. */
export function connectPeer (options: ConnectOptions): PeerConnection {
  const { peer, room } = options
  const link = createLink(peer, options.chunk ?? 49_152)
  const watch = createWatch(() => situation(link))
  const greeting = (): Message => ({
    type: 'hello', room, pubkey: peer.key, root: peer.root, frontier: peer.frontier, client: CLIENT, ...options.hello
  })
  const connect = (): void => { start(link, options.open, { greeting, changed: watch.changed }) }
  connect()
  return {
    ...createWaits(link, watch, options.within ?? 5000),
    peer,
    get state () { return link.state },
    get welcome () { return link.welcome },
    frames: link.frames,
    sent: link.sent,
    received: link.received,
    get unacknowledged () { return link.unacknowledged.size },
    refused: link.refused,
    write (ops) {
      const node = peer.write(ops)
      publish(link, [node])
      return node
    },
    publish: (nodes) => { publish(link, nodes) },
    resend: () => { sendPacks(link, [...link.unacknowledged.values()]) },
    send: (message) => { send(link, message) },
    reconnect () {
      leave(link)
      connect()
    },
    close: () => { link.socket?.close(1000) }
  }
}

function createWaits (link: Link, watch: Watch, patience: number): Waits {
  const until: Waits['until'] = async (look, what = 'condition', within = patience) => await watch.until(look, what, within)
  return {
    until,
    async next (type, within) {
      const from = link.frames.length
      return await until(() => link.frames.slice(from).find((message) => message.type === type), `a frame of type ${type}`, within)
    },
    synced: async (within) => { await until(() => isSynced(link), 'in sync', within) },
    closed: async (within) => await until(() => link.ended, 'closed', within)
  }
}
