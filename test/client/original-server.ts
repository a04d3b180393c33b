import type { Clock } from '../../lib/clock.js'
import { createSigner } from '../../lib/crypto/ed25519.js'
import type { Blake3 } from '../../lib/protocol/blake3.js'
import { toHex } from '../../lib/protocol/hex.js'
import type { WritePolicy } from '../../lib/protocol/policy.js'
import { type WebSocketLike, createSocketPair } from '../../lib/testing/socket.js'
import { type OriginalRoom, createRoom } from './original-room.js'
import { type Message, type OriginalSession, createSession } from './original-session.js'

export interface OriginalOptions {
  blake3: Blake3
  clock: Clock
  /** How frames travel (lib/testing/socket.ts); a microtask unless given. */
  deliver?: (run: () => void) => void
  /** Nodes and bytes a connection may push per second; 200 and 4 MiB unless given, 0 for no limit. */
  rate?: { nodes: number, bytes: number }
  /** Addresses to put a blob to and to get it from, when the blob backend is an object store. */
  presign?: { put: (hash: string) => string | null, get: (hash: string) => string | null }
}

/** What all sessions share. */
export interface World {
  readonly options: OriginalOptions
  readonly rooms: Map<string, OriginalRoom>
  readonly blobs: Map<string, Uint8Array>
  readonly sessions: Set<OriginalSession>
  /** The server's public key. */
  readonly key: Uint8Array
  room (id: string): OriginalRoom
}

/**
 * An emulated original sync server (spec/session-protocol.md, the REF dialect): no extensions, no `pack-ack`, a `missing` whose meaning
 * depends on how the difference was found, a welcome 100 ms late, presence and echo suppression by public key, refusals as text only,
 * orphans dropped. Everything happens on the given clock and the given delivery.
 */
export interface OriginalServer {
  /** Opens a connection to `ws://…/ws/<room>`; any origin will do. */
  open (url: string): WebSocketLike
  room (id: string): OriginalRoom
  readonly blobs: ReadonlyMap<string, Uint8Array>
  /** Every frame received so far, in order. */
  readonly received: readonly { room: string, message: Message }[]
  /** Live sessions. */
  readonly sessions: number
  /** From now on a token signed with this key is asked for (§5.6). */
  lock (room: string, publicKey: Uint8Array): void
  setPolicy (room: string, policy: WritePolicy): void
  /** Ends every connection; rooms stay. */
  drop (code?: number, reason?: string): void
}

export function createOriginalServer (options: OriginalOptions): OriginalServer {
  const rooms = new Map<string, OriginalRoom>()
  const received: { room: string, message: Message }[] = []
  const world: World = {
    options,
    rooms,
    blobs: new Map(),
    sessions: new Set(),
    key: createSigner(new Uint8Array(32).fill(0x5e)).publicKey,
    room (id) {
      const room = rooms.get(id) ?? createRoom(options.blake3)
      rooms.set(id, room)
      return room
    }
  }
  return {
    open (url) {
      const path = /\/ws\/([^/?#]+)$/.exec(url)
      if (path === null) throw new Error(`no room in ${url}`)
      const pair = createSocketPair(options.deliver)
      createSession(world, decodeURIComponent(path[1]), pair.server, (room, message) => { received.push({ room, message }) })
      return pair.client
    },
    room: world.room,
    blobs: world.blobs,
    received,
    get sessions () { return world.sessions.size },
    lock (room, publicKey) { world.room(room).key = publicKey },
    setPolicy (room, policy) { world.room(room).policy = policy },
    drop (code = 1006, reason = '') {
      for (const session of world.sessions) session.end.close(code, reason)
    }
  }
}

export function keyText (world: World): string {
  return toHex(world.key)
}
