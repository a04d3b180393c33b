import type { Blake3 } from '../../lib/protocol/blake3.js'
import { type PeerConnection, connectPeer } from '../../lib/testing/connection.js'
import { type Peer, createPeer } from '../../lib/testing/peer.js'
import { canonicalHash } from './canonical.js'
import { randomOps } from './edits.js'
import { type Random, createRandom } from './random.js'
import { type RoughLink, createRoughLink } from './rough-link.js'

/** One connection to the room under test, whatever carries it. */
export interface FuzzLink {
  send (text: string): void
  /** Frames may arrive at any time after this call, also during it. */
  onFrame (listen: (text: string) => void): void
  onClose (listen: () => void): void
  close (): void
}

/** What the engine needs of a server. */
export interface FuzzServer {
  /** Opens a connection to the room under test for the peer with this public key (hexadecimal). */
  open (peer: string): FuzzLink
  /** Resolves when everything sent to the server has been worked off and every frame that follows from it was handed over. */
  settle (): Promise<void>
  /** Ends every connection and starts again from what is durable. */
  restart (): Promise<void>
}

export interface FuzzOptions {
  seed: number
  server: FuzzServer
  blake3: Blake3
  room?: string
  /** Random steps before everything is healed; 60 unless given. */
  steps?: number
}

export interface FuzzResult { seed: number, peers: number, nodes: number, hash: string, trace: string[] }

interface Member { seed: Uint8Array, peer: Peer, connection: PeerConnection | null, link: RoughLink | null }

const TIME = 1_700_000_000_000

/**
 * Random edits by 3 to 8 peers over a server, with partitions, repeated and reordered packs, peer and server restarts; then everything is
 * healed, and all peers and a newcomer must hold every node that was ever written and agree on the canonical hash. The same seed takes
 * the same steps. Throws an error that carries seed and steps.
 */
export async function fuzz (options: FuzzOptions): Promise<FuzzResult> {
  const random = createRandom(options.seed)
  const world = createWorld(options, random)
  try {
    for (let step = 0; step < (options.steps ?? 60); step++) await world.step()
    return await world.finish()
  } catch (error) {
    throw new Error(`seed ${options.seed}: ${String(error)}\n${world.trace.join('\n')}`, { cause: error })
  }
}

interface World { step (): Promise<void>, finish (): Promise<FuzzResult>, trace: string[] }

function createWorld ({ seed, server, blake3, room = 'fuzz' }: FuzzOptions, random: Random): World {
  const trace: string[] = []
  const written = new Set<string>()
  const newPeer = (peerSeed: Uint8Array, nodes: Iterable<Uint8Array> = []): Peer => createPeer({ blake3, seed: peerSeed, nodes, now: () => TIME })
  const member = (peerSeed: Uint8Array): Member => ({ seed: peerSeed, peer: newPeer(peerSeed), connection: null, link: null })
  const members: Member[] = []
  for (let i = 3 + random.below(6); i > 0; i--) {
    const twin = members.length > 0 && random.chance(0.1)
    members.push(member(twin ? random.pick(members).seed : random.bytes(32)))
  }

  const connect = (one: Member): void => {
    one.link?.cut()
    const link = createRoughLink(server.open(one.peer.key))
    one.link = link
    one.connection = connectPeer({ peer: one.peer, room, open: () => link.socket, chunk: random.pick([1024, 4096, 49_152]) })
  }
  const isConnected = (one: Member): boolean => one.link?.socket.readyState === 1
  const edit = (one: Member): void => {
    for (let burst = 1 + random.below(4); burst > 0; burst--) {
      const ops = randomOps(random, one.peer)
      const node = isConnected(one) && one.connection !== null ? one.connection.write(ops) : one.peer.write(ops)
      written.add(Buffer.from(node.subarray(0, 32)).toString('hex'))
    }
  }
  const restartPeer = (one: Member): void => {
    one.link?.cut()
    Object.assign(one, { peer: newPeer(one.seed, [...one.peer.nodes()]), connection: null, link: null })
  }

  async function step (): Promise<void> {
    const at = random.below(members.length)
    const one = members[at]
    const dice = random.below(100)
    const note = (text: string): void => { trace.push(`${at} ${text}`) }
    if (dice < 35) { edit(one); note(`edits, now ${one.peer.size}`) } else if (dice < 60) {
      note(`sends ${one.link?.up(random) ?? 0}`)
      await server.settle()
    } else if (dice < 82) note(`receives ${one.link?.down(random) ?? 0}`)
    else if (dice < 87) { one.link?.cut(); note('is cut off') } else if (dice < 96) { connect(one); note('connects') } else if (dice < 99) { restartPeer(one); note('restarts') } else {
      await server.restart()
      note('sees the server restart')
    }
  }

  /** Delivers everything in order until nothing is under way; a healthy server needs few rounds. */
  async function quiet (): Promise<void> {
    for (let round = 0; round < 50; round++) {
      let moved = 0
      for (const one of members) moved += one.link?.up(null) ?? 0
      await server.settle()
      for (const one of members) moved += one.link?.down(null) ?? 0
      if (moved === 0) return
    }
    throw new Error('does not come to rest')
  }

  async function finish (): Promise<FuzzResult> {
    for (const one of members) if (!isConnected(one)) connect(one)
    await quiet()
    const newcomer = member(random.bytes(32))
    members.push(newcomer)
    connect(newcomer)
    await quiet()
    const hash = canonicalHash(newcomer.peer.nodes(), blake3)
    members.forEach((one, i) => { check(i, one, written, hash, blake3) })
    for (const one of members) one.link?.cut()
    await server.settle()
    return { seed, peers: members.length, nodes: written.size, hash, trace }
  }

  return { step, finish, trace }
}

function check (index: number, { peer, connection }: Member, written: ReadonlySet<string>, hash: string, blake3: Blake3): void {
  const missing = [...written].filter((id) => !peer.has(id))
  const problems = [
    missing.length > 0 ? `lacks ${missing.length} of ${written.size} nodes, the first ${missing[0]}` : null,
    peer.size > written.size ? `holds ${peer.size - written.size} nodes that nobody wrote` : null,
    peer.orphans > 0 ? `holds ${peer.orphans} orphans` : null,
    canonicalHash(peer.nodes(), blake3) !== hash ? 'has another canonical hash' : null,
    connection !== null && connection.unacknowledged > 0 ? `waits for ${connection.unacknowledged} acknowledgements` : null
  ].filter((problem) => problem !== null)
  if (problems.length > 0) throw new Error(`peer ${index} ${problems.join(', ')}`)
}
