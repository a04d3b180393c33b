import { toBase64 } from '../../lib/protocol/base64.js'
import type { Blake3 } from '../../lib/protocol/blake3.js'
import type { Message } from '../../lib/testing/connection.js'
import { type Peer, chunkNodes, createPeer } from '../../lib/testing/peer.js'
import type { ServerEnd } from '../../lib/testing/socket.js'

export interface MiniOptions {
  blake3: Blake3
  /** Changes a `welcome` before it is sent: how a test scripts the reactions of an emulator. */
  welcome?: (welcome: Message, room: Peer) => Message
  /** Advertises and sends the Merkle trie. */
  mst?: boolean
  /** Answers `blob-request` with redirects to this address. */
  redirect?: string
  /** Answers `request-upload` with this address. */
  grant?: string
  deliver?: (run: () => void) => void
}

export interface MiniSession {
  end: ServerEnd
  room: string
  pubkey: string
  live: boolean
  /** How often each id was refused. */
  refusals: Map<string, number>
  redirected: Set<string>
}

/** Everything the small server knows. */
export interface MiniWorld {
  options: MiniOptions
  rooms: Map<string, Peer>
  blobs: Map<string, Uint8Array>
  sessions: Set<MiniSession>
}

/** Frames of at most 1 MiB of base64. */
const FRAME = 1_048_576

export function roomOf (world: MiniWorld, id: string): Peer {
  const room = world.rooms.get(id) ?? createPeer({ blake3: world.options.blake3, seed: new Uint8Array(32) })
  world.rooms.set(id, room)
  return room
}

export function othersOf (world: MiniWorld, session: MiniSession): MiniSession[] {
  return [...world.sessions].filter((other) => other !== session && other.live && other.room === session.room)
}

export function say (session: MiniSession, message: Message): void {
  session.end.send(JSON.stringify(message))
}

export function broadcast (to: Iterable<MiniSession>, message: Message): void {
  for (const session of to) say(session, message)
}

/** Sends nodes from the server; an empty pack when there are none. */
export function sayNodes (session: MiniSession, nodes: Uint8Array[]): void {
  const texts = chunkNodes(nodes, FRAME).map((chunk) => chunk.text)
  for (const text of texts.length === 0 ? ['AA=='] : texts) say(session, { type: 'pack', from: 'server', nodes: text })
}

export function relay (world: MiniWorld, session: MiniSession, nodes: readonly Uint8Array[]): void {
  const room = roomOf(world, session.room)
  broadcast(othersOf(world, session), { type: 'pack', from: session.pubkey, nodes: toBase64(room.pack(nodes)), root: room.root })
}
