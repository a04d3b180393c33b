import type { Test } from 'tap'
import { createSigner } from '../../lib/crypto/ed25519.js'
import { createVerifier } from '../../lib/crypto/verifier.js'
import { IBF_KEYS } from '../../lib/dag/ibf.js'
import { MST_KEYS } from '../../lib/dag/mst-hash.js'
import type { Blake3 } from '../../lib/protocol/blake3.js'
import { loadBlake3 } from '../../lib/protocol/blake3-wasm.js'
import type { Op } from '../../lib/protocol/op.js'
import { createCommitter } from '../../lib/room/commit.js'
import { type Limits, limitsSchema } from '../../lib/room/limits.js'
import type { Socket } from '../../lib/room/outbox.js'
import { createPatience } from '../../lib/room/patience.js'
import { createQuotas } from '../../lib/room/quota.js'
import { createRooms } from '../../lib/room/rooms.js'
import type { Server } from '../../lib/room/server.js'
import type { Session } from '../../lib/room/session.js'
import { createTurn } from '../../lib/room/turn.js'
import { memoryBlobs } from '../../lib/store/memory-blobs.js'
import { memoryNodes } from '../../lib/store/memory-nodes.js'
import { type FakeClock, createFakeClock } from '../../lib/testing/clock.js'
import { type Peer, type PeerOptions, createPeer } from '../../lib/testing/peer.js'

export const blake3: Blake3 = await loadBlake3([...IBF_KEYS, ...MST_KEYS])

export type Frame = Record<string, unknown> & { type: string }

export interface Client {
  readonly session: Session
  /** Every frame received, oldest first. */
  readonly frames: Frame[]
  /** Frames of one write, by write. */
  readonly writes: number[]
  closed: { code: number, reason: string } | null
  terminated: boolean
  paused: boolean
  pings: number
  send (message: object | string): void
  /** The next frame of that type nobody has asked for yet; fails loudly when it does not come. */
  next (type: string): Promise<Frame>
  /** Resolves when the session was closed. */
  ended (): Promise<{ code: number, reason: string }>
  /** Stops and starts taking writes, as a reader that hangs does. */
  stall (): void
  flow (): void
  /** Says hello and waits for the welcome. */
  hello (fields?: object): Promise<Frame>
  leave (): void
}

export interface TestServer {
  readonly server: Server
  readonly clock: FakeClock
  connect (room?: string | null, address?: string): Client
  /** Connects and says hello. */
  join (room: string, peer: Peer, fields?: object): Promise<Client>
}

const DEADLINE_MS = 10_000

/** A server without a network: real rooms, verifier and stores, sockets that are arrays, a clock that stands still. */
export function createTestServer (t: Test, overrides: Partial<Server> & { limit?: Partial<Limits> } = {}): TestServer {
  const { limit, ...given } = overrides
  const clock = createFakeClock()
  const limits = limitsSchema.parse({ nodesPerSecond: 0, bytesPerSecond: 0, ...limit })
  const store = given.store ?? memoryNodes()
  const parts = {
    blake3,
    verifier: createVerifier({ threads: 0 }),
    signer: createSigner(new Uint8Array(32).fill(7)),
    store,
    blobs: memoryBlobs(),
    committer: createCommitter(store, limits.commitBytes),
    clock,
    turn: createTurn(),
    limits,
    log: { debug () {}, info () {}, warn () {}, error () {} },
    quotas: createQuotas(limits, clock.now),
    patience: createPatience(0),
    source: { label: 'server', session: null, charge () {}, objection: () => null },
    relaxed: false,
    globalBlobs: false,
    operatorKey: null,
    authenticate: null,
    authorize: null,
    ...given
  }
  const server: Server = Object.assign(parts, { rooms: undefined as unknown as Server['rooms'] })
  Object.assign(server, { rooms: createRooms(server) })
  t.teardown(() => server.verifier.close())
  return {
    server,
    clock,
    connect: (room = 'plans', address = '10.0.0.1') => connect(server, room, address),
    async join (room, peer, fields = {}) {
      const client = connect(server, room, '10.0.0.1')
      await client.hello({ pubkey: peer.key, frontier: peer.frontier, ...fields })
      return client
    }
  }
}

function connect (server: Server, room: string | null, address: string): Client {
  const waiting: Array<{ type: string, resolve: (frame: Frame) => void }> = []
  const unread: Frame[] = []
  const held: Array<() => void> = []
  let stalled = false
  let ended: (closed: { code: number, reason: string }) => void = () => {}
  const end = new Promise<{ code: number, reason: string }>((resolve) => { ended = resolve })

  function arrive (frame: Frame): void {
    client.frames.push(frame)
    const at = waiting.findIndex(({ type }) => type === frame.type)
    if (at < 0) unread.push(frame)
    else waiting.splice(at, 1)[0].resolve(frame)
  }

  const socket: Socket = {
    send (frames, written) {
      const deliver = (): void => {
        client.writes.push(frames.length)
        for (const frame of frames) arrive(JSON.parse(Buffer.from(frame).toString()) as Frame)
        written()
      }
      if (stalled) held.push(deliver)
      else setImmediate(deliver)
    },
    close (code, reason) {
      client.closed = { code, reason }
      ended(client.closed)
    },
    terminate () { client.terminated = true },
    ping () { client.pings++ },
    pause () { client.paused = true },
    resume () { client.paused = false }
  }

  const client: Omit<Client, 'session'> & { session: Session | null } = {
    session: null,
    frames: [],
    writes: [],
    closed: null,
    terminated: false,
    paused: false,
    pings: 0,
    send: (message) => session.receive(typeof message === 'string' ? message : JSON.stringify(message)),
    next (type) {
      const at = unread.findIndex((frame) => frame.type === type)
      if (at >= 0) return Promise.resolve(unread.splice(at, 1)[0])
      return within(new Promise((resolve) => waiting.push({ type, resolve })), `no ${type} frame; got ${client.frames.map((f) => f.type).join()}`)
    },
    ended: () => within(end, 'the session was not closed'),
    stall () { stalled = true },
    flow () {
      stalled = false
      for (const deliver of held.splice(0)) deliver()
    },
    async hello (fields = {}) {
      client.send({ type: 'hello', pubkey: 'a'.repeat(64), ...fields })
      return client.next('welcome')
    },
    leave: () => session.ended()
  }
  const session = server.rooms.connect(socket, { room, address, request: { headers: {} } })
  return Object.assign(client, { session })
}

function within<Result> (promise: Promise<Result>, failure: string): Promise<Result> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(failure)), DEADLINE_MS)
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

export function peer (seed: number, options: Partial<PeerOptions> = {}): Peer {
  return createPeer({ blake3, seed: new Uint8Array(32).fill(seed), now: () => 1_700_000_000_000, ...options })
}

export function set (key: string, value = 'v'): Op[] {
  return [{ type: 'map-set', key, value: Buffer.from(value) }]
}

/** A pack message around encoded nodes. */
export function packOf (from: Peer, nodes: readonly Uint8Array[], fields: object = {}): object {
  return { type: 'pack', nodes: Buffer.from(from.pack(nodes)).toString('base64'), ...fields }
}

/** The nodes of a pack frame. */
export function nodesIn (frame: Frame): Uint8Array {
  return Buffer.from(String(frame.nodes), 'base64')
}

/** Lets the event loop go round until nothing is left to do at once. */
export async function settle (rounds = 20): Promise<void> {
  for (let i = 0; i < rounds; i++) await new Promise((resolve) => setImmediate(resolve))
}
