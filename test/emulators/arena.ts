import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import type { Blake3 } from '../../lib/protocol/blake3.js'
import { utf8Encode } from '../../lib/protocol/postcard.js'
import { type PeerConnection, connectPeer } from '../../lib/testing/connection.js'
import { createPeer } from '../../lib/testing/peer.js'
import type { WebSocketLike } from '../../lib/testing/socket.js'
import { createMiniServer } from '../peer/mini-server.js'
import { type DClient, type DOptions, createDClient } from './d-client.js'
import { type RClient, type ROptions, createRClient } from './r-client.js'
import { createTimers } from './wire.js'

/** A server to try the emulators against: the small one of this folder in memory, or the plugin over real sockets. */
export interface Arena {
  /** Origin with scheme `ws:`. */
  readonly url: string
  open (url: string): WebSocketLike
  /** Ends every connection from the server's side. */
  drop (): void
  close (): Promise<void>
}

/** `redirect` and `grant`: presigned addresses below this one are handed out for reading and for writing blobs. */
export interface ArenaOptions { redirect?: string, grant?: string }

export type MakeArena = (options?: ArenaOptions) => Promise<Arena>

export function miniArena (blake3: Blake3): MakeArena {
  return async (options = {}) => {
    const server = createMiniServer({ blake3, ...options })
    return {
      url: 'ws://mini',
      open: (url) => opening(server.connect(url.slice('ws://mini'.length))),
      drop: () => { server.restart() },
      close: async () => {}
    }
  }
}

/** A socket that opens in the next turn, as every real one does: what was written in this turn is not sent by itself. */
function opening (socket: WebSocketLike): WebSocketLike {
  const waiting: (() => void)[] = []
  let open = false
  setImmediate(() => {
    open = true
    for (const listen of waiting) listen()
  })
  return {
    get readyState () { return open ? socket.readyState : 0 },
    send: socket.send,
    close: socket.close,
    addEventListener (type: string, listen: (event: never) => void) {
      if (type === 'open') waiting.push(listen as () => void)
      else socket.addEventListener(type as 'error', listen as () => void)
    }
  }
}

/** One test's clients in one arena, in a room of their own unless they say otherwise. Reconnect delays run a hundred times faster than the originals'. */
export interface Scene {
  readonly arena: Arena
  readonly room: string
  d (options?: Partial<DOptions>): DClient
  r (options?: Partial<ROptions>): RClient
  /** An honest peer, connected and in sync. */
  peer (room?: string): Promise<PeerConnection>
  /** Fills the room before anyone of the test joins. */
  fill (count: number, room?: string): Promise<PeerConnection>
}

let rooms = 0
const SPEED = 0.01

export async function scene (t: Test, blake3: Blake3, make: MakeArena, options?: ArenaOptions): Promise<Scene> {
  const arena = await make(options)
  const plans = `plans ${++rooms}`
  const ends: (() => void)[] = []
  t.teardown(async () => {
    for (const end of ends) end()
    await arena.close()
  })
  const clock = createTimers(SPEED)
  const peer = async (room = plans, connected = createPeer({ blake3, seed: randomBytes(32) })): Promise<PeerConnection> => {
    const connection = connectPeer({ peer: connected, room, open: () => arena.open(`${arena.url}/ws/${encodeURIComponent(room)}`), within: 20_000 })
    ends.push(() => { connection.close() })
    await connection.synced()
    return connection
  }
  return {
    arena,
    room: plans,
    d (changes) {
      const client = createDClient({ blake3, serverUrl: arena.url, room: plans, open: arena.open, clock, ...changes })
      ends.push(() => { client.disconnect() })
      return client
    },
    r (changes) {
      const client = createRClient({ blake3, wsUrl: `${arena.url}/ws/runtime`, roomId: plans, open: arena.open, clock, ...changes })
      ends.push(() => { client.disconnect() })
      return client
    },
    peer: async (room) => await peer(room),
    async fill (count, room) {
      const author = createPeer({ blake3, seed: randomBytes(32) })
      for (let i = 0; i < count; i++) author.write([{ type: 'map-set', key: `filled/${i}`, value: utf8Encode(`"${i}"`) }])
      return await peer(room, author)
    }
  }
}

/** Everything that was sent to the client before now has arrived when this resolves: a session answers in order. */
export async function barrier (client: DClient | RClient): Promise<void> {
  const before = client.counts.down.types['mst-response'] ?? 0
  client.send({ type: 'mst-request', paths: [] })
  await client.until(() => (client.counts.down.types['mst-response'] ?? 0) > before, 'the barrier')
}

/** Every client, and a peer that joins now, hold exactly `count` nodes, the same ones. */
export async function agree (t: Test, set: Scene, clients: (DClient | RClient)[], count: number, room = set.room): Promise<void> {
  const observer = await set.peer(room)
  await observer.until(() => observer.peer.size >= count, `${count} nodes at the server, seen ${observer.peer.size}`)
  for (const client of clients) {
    await client.until(() => client.store.size >= count, `${count} nodes at the client`)
    await barrier(client)
  }
  await observer.synced()
  const held = [...observer.peer.ids()].sort()
  t.equal(held.length, count, 'the server holds what was written')
  for (const client of clients) t.strictSame(client.store.ids().sort(), held, 'a client holds what the server holds')
}

/** What one client did, for its bound. */
export interface Effort { connections: number, writes: number, blobs?: number }

/**
 * Bounds on traffic, linear in what the room holds (W characters of base64, n nodes) and what the client did.
 * Up, per connection: a hello (the filter alone is 3.9 KB), the own nodes once more (step A3 pushes all but the heads) and the list
 * of own ids at 67 characters. Live: every own node once, and a frame of at most 40 characters around it or around nothing.
 * Down, per connection: a welcome, and the missing nodes at most twice (catch-up, and the answer to a `request` that was written before
 * it arrived). Live: every node of others once. Around each frame up to 400 characters: acknowledgement, relay, membership, error.
 */
export function bounded (t: Test, client: DClient | RClient, { connections, writes, blobs = 0 }: Effort): void {
  const { up, down } = client.counts
  const weight = client.store.weight()
  const size = client.store.size
  const most = {
    up: connections * (6000 + weight + 67 * size) + weight + 40 * writes + 200 * up.frames + 2 * blobs,
    down: connections * (4000 + 2 * weight) + weight + 400 * down.frames + 2 * blobs
  }
  t.ok(up.bytes <= most.up, `up ${up.bytes} <= ${most.up} in ${up.frames} frames`)
  t.ok(down.bytes <= most.down, `down ${down.bytes} <= ${most.down} in ${down.frames} frames`)
  t.ok(down.frames <= 2 * up.frames + 4 * size + 40, `${down.frames} frames down for ${up.frames} up`)
}
