import { NodalmergeError } from '../errors.js'
import { checkAfter, checkAppend, checkSeen, positions, sieve } from './append.js'
import { type Append, type Appended, CHUNK_BYTES, type NodeStore, type StoredChunk } from './node-store.js'
import { checkRoom } from './room-id.js'
import { type RoomLog, roomLog } from './room-log.js'
import { decodeState, encodeState } from './room-state.js'

/** A room: its nodes, and its control state as JSON so that nobody shares an object with the store. */
interface Kept { log: RoomLog, state: string | null }

/** Throws `store.closed` unless the store is open. */
type Opened = () => Map<string, Kept>

/**
 * Keeps everything in this process and loses it with it: for tests and for trying things out. It is plain maps and buffers
 * because it lies on the hot path of every accepted node (1 µs an append, against 6 to 30 µs over memory-level).
 */
export function memoryNodes (): NodeStore {
  let rooms: Map<string, Kept> | null = null
  const opened: Opened = () => {
    if (rooms === null) throw new NodalmergeError('store.closed')
    return rooms
  }
  return {
    manifest: { name: 'memory', durable: false, shared: false },
    async open () { rooms ??= new Map() },
    async close () { rooms = null },
    async check () { opened() },
    ...reading(opened),
    ...writing(opened)
  }
}

function reading (opened: Opened): Pick<NodeStore, 'load' | 'rooms' | 'version' | 'state'> {
  return {
    async * load (room, after) {
      checkRoom(room)
      checkAfter(after)
      yield * chunks(opened().get(room)?.log ?? roomLog(), after, opened)
    },
    async * rooms () {
      for (const [room, { log }] of opened()) {
        yield { room, seq: log.length }
        opened()
      }
    },
    async version (room) {
      checkRoom(room)
      return opened().get(room)?.log.length ?? 0
    },
    async state (room) {
      checkRoom(room)
      const text = opened().get(room)?.state ?? null
      return text === null ? null : decodeState(room, text)
    }
  }
}

function writing (opened: Opened): Pick<NodeStore, 'append' | 'putState'> {
  return {
    async append (appends) {
      const rooms = opened()
      for (const append of appends) {
        checkAppend(append)
        checkSeen(append, rooms.get(append.room)?.log.length ?? 0)
      }
      return appends.map((append) => add(append, append.nodes.length === 0 ? rooms.get(append.room) : kept(rooms, append.room)))
    },
    async putState (room, state) {
      checkRoom(room)
      const rooms = opened()
      const text = encodeState(state)
      kept(rooms, room).state = text
    }
  }
}

/** The room's entry, made when it is missing. */
function kept (rooms: Map<string, Kept>, room: string): Kept {
  const known = rooms.get(room)
  if (known !== undefined) return known
  const fresh = { log: roomLog(), state: null }
  rooms.set(room, fresh)
  return fresh
}

async function * chunks (log: RoomLog, after: number, opened: Opened): AsyncGenerator<StoredChunk> {
  for (let last = after, end = log.length; last < end;) {
    const nodes = log.slice(last, CHUNK_BYTES)
    last += nodes.length
    yield { nodes, last }
    opened()
  }
}

function add (append: Append, entry: Kept | undefined): Appended {
  if (entry === undefined) return { room: append.room, last: 0, kept: [] }
  const { log } = entry
  const fresh = append.after === log.length ? positions(append.nodes) : unstored(append, log)
  for (const i of fresh) log.push(append.nodes[i])
  return { room: append.room, last: log.length, kept: fresh }
}

function unstored (append: Append, log: RoomLog): number[] {
  const found = sieve(append.nodes)
  for (let last = append.after; last < log.length;) {
    const nodes = log.slice(last, CHUNK_BYTES)
    last += nodes.length
    for (const node of nodes) found.stored(node)
  }
  return found.kept()
}
