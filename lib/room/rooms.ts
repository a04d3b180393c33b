import { NodalmergeError } from '../errors.js'
import type { RoomState } from '../store/node-store.js'
import { OPEN_STATE } from './policy.js'
import { Room } from './room.js'
import type { Server } from './server.js'
import { type Arrival, Session } from './session.js'
import type { Socket } from './outbox.js'

/** The rooms in memory and the connections to them. */
export interface Rooms {
  /** The room, loaded. Many callers share one load. Throws what the store throws, or `reject.room_invalid`. */
  open (id: string): Promise<Room>
  /** The room if it is in memory. */
  resident (id: string): Room | undefined
  all (): Iterable<Room>
  /** The room's lock and policy, without loading its nodes. */
  state (id: string): Promise<RoomState>
  /** A new connection. */
  connect (socket: Socket, arrival: Arrival): Session
  sessionEnded (session: Session): void
  sessions (): ReadonlySet<Session>
  /** Ends every session with 1012 after what is under way was committed; nothing new is let in. */
  drain (): Promise<void>
}

/** Between two rounds of housekeeping; the precision of every timeout of the room layer. */
const SWEEP_MS = 1_000

export function createRooms (server: Server): Rooms {
  const loaded = new Map<string, Room>()
  const loading = new Map<string, Promise<Room>>()
  const sessions = new Set<Session>()
  let nextSession = 1
  let draining: Promise<void> | null = null
  let cancel = server.clock.after(SWEEP_MS, sweep)

  async function load (id: string): Promise<Room> {
    const room = new Room(id, server)
    try {
      await room.load()
    } catch (cause) {
      throw new NodalmergeError('reject.room_unavailable', undefined, { cause })
    } finally {
      loading.delete(id)
    }
    loaded.set(id, room)
    return room
  }

  function open (id: string): Promise<Room> {
    const room = loaded.get(id)
    if (room !== undefined) {
      // Whoever asked is about to use it: it must not be evicted, and loaded a second time, meanwhile.
      room.idleSince = server.clock.now()
      return Promise.resolve(room)
    }
    if (!validRoomId(id, server.limits.roomIdBytes)) return Promise.reject(new NodalmergeError('reject.room_invalid'))
    const under = loading.get(id) ?? load(id)
    loading.set(id, under)
    return under
  }

  function sweep (): void {
    const now = server.clock.now()
    for (const session of sessions) session.sweep(now)
    for (const room of loaded.values()) {
      room.sweep(now)
      if (mayEvict(room, now)) loaded.delete(room.id)
    }
    server.quotas.sweep(now)
    if (draining === null) cancel = server.clock.after(SWEEP_MS, sweep)
  }

  /** Only what a durable store can bring back may leave memory, and rooms that were merely looked at. */
  function mayEvict (room: Room, now: number): boolean {
    const { idleMs } = server.limits
    return idleMs > 0 && (server.store.manifest.durable || room.dag.size === 0) && room.quiet && now - room.idleSince >= idleMs
  }

  async function drainAll (): Promise<void> {
    cancel()
    for (const session of sessions) session.socket.pause()
    await server.committer.idle()
    for (const session of [...sessions]) {
      await Promise.race([session.outbox.drained(), new Promise<void>((resolve) => server.clock.after(SWEEP_MS, resolve))])
      session.close('reject.server_draining')
    }
  }

  return {
    open,
    resident: (id) => loaded.get(id),
    all: () => loaded.values(),
    async state (id) {
      if (!validRoomId(id, server.limits.roomIdBytes)) throw new NodalmergeError('reject.room_invalid')
      return loaded.get(id)?.state ?? await server.store.state(id) ?? OPEN_STATE
    },
    connect (socket, arrival) {
      const session = new Session(nextSession++, server, socket, arrival)
      sessions.add(session)
      if (draining !== null) session.close('reject.server_draining')
      return session
    },
    sessionEnded: (session) => { sessions.delete(session) },
    sessions: () => sessions,
    drain: () => (draining ??= drainAll())
  }
}

/** A room id is not empty, fits the limit and has no U+0000, which the signed bytes of a token could not tell apart (spec/session-protocol.md §5.6). */
export function validRoomId (id: string, mostBytes: number): boolean {
  return id.length > 0 && Buffer.byteLength(id) <= mostBytes && !id.includes('\u0000')
}
