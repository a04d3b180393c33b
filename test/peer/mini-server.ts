import type { Message } from '../../lib/testing/connection.js'
import { type Peer, createPeer } from '../../lib/testing/peer.js'
import { type WebSocketLike, createSocketPair } from '../../lib/testing/socket.js'
import { HANDLERS } from './mini-handlers.js'
import { type MiniOptions, type MiniSession, type MiniWorld, broadcast, othersOf, roomOf } from './mini-session.js'

/** A server of three pages: enough of the protocol to prove the emulators and the fuzz engine, and a second opinion on the real one. */
export interface MiniServer {
  /** Opens a connection; `path` is what follows the origin, such as `/ws/boards%2Fabc`. */
  connect (path: string): WebSocketLike
  room (id: string): Peer
  /** Ends every connection. Nodes stay; what waited for parents is lost. */
  restart (): void
  /** What the server received, in order. */
  readonly frames: readonly { room: string, from: string, message: Message }[]
}

export function createMiniServer (options: MiniOptions): MiniServer {
  const world: MiniWorld = { options, rooms: new Map(), blobs: new Map(), sessions: new Set() }
  const frames: { room: string, from: string, message: Message }[] = []
  return {
    frames,
    room: (id) => roomOf(world, id),
    connect (path) {
      const pair = createSocketPair(options.deliver)
      const room = decodeURIComponent(path.replace(/^\/ws\//, ''))
      const session: MiniSession = { end: pair.server, room, pubkey: '', live: false, refusals: new Map(), redirected: new Set() }
      world.sessions.add(session)
      pair.server.onMessage((text) => {
        const message = JSON.parse(text) as Message
        HANDLERS[message.type]?.(world, session, message)
        frames.push({ room: session.room, from: session.pubkey, message })
      })
      pair.server.onClose(() => { leave(world, session) })
      return pair.client
    },
    restart () {
      for (const session of world.sessions) session.end.close(1012, 'restart')
      for (const [id, old] of world.rooms) world.rooms.set(id, createPeer({ blake3: options.blake3, seed: new Uint8Array(32), nodes: old.nodes() }))
    }
  }
}

function leave (world: MiniWorld, session: MiniSession): void {
  world.sessions.delete(session)
  const others = othersOf(world, session)
  if (session.live && !others.some((other) => other.pubkey === session.pubkey)) broadcast(others, { type: 'peer-left', from: session.pubkey })
}
