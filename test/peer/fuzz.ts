import type { Blake3 } from '../../lib/protocol/blake3.js'
import { toHex } from '../../lib/protocol/hex.js'
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
  /** The server ended the connection; `why` goes into the report. Outside a restart that fails the run. */
  onClose (listen: (why: string) => void): void
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

interface World {
  random: Random
  server: FuzzServer
  blake3: Blake3
  room: string
  members: Member[]
  /** Ids of every node that was ever written. */
  written: Set<string>
  trace: string[]
  /** Why the server ended connections since the last look. */
  lost: string[]
}

/**
 * Random edits by 3 to 8 peers over a server, with partitions, repeated and reordered packs, peer and server restarts; then everything is
 * healed, and all peers and a newcomer must hold every node that was ever written and agree on the canonical hash. The same seed takes
 * the same steps. Throws an error that carries seed and steps.
 */
export async function fuzz ({ seed, server, blake3, room = 'fuzz', steps = 60 }: FuzzOptions): Promise<FuzzResult> {
  const world: World = { random: createRandom(seed), server, blake3, room, members: [], written: new Set(), trace: [], lost: [] }
  populate(world)
  try {
    for (let i = 0; i < steps; i++) await step(world)
    const hash = await finish(world)
    return { seed, peers: world.members.length, nodes: world.written.size, hash, trace: world.trace }
  } catch (error) {
    throw new Error(`seed ${seed}: ${String(error)}\n${world.trace.join('\n')}`, { cause: error })
  }
}

/** Now and then two members share a key, as two tabs do. */
function populate (world: World): void {
  const { random, members } = world
  for (let i = 3 + random.below(6); i > 0; i--) {
    const twin = members.length > 0 && random.chance(0.1)
    members.push(createMember(world, twin ? random.pick(members).seed : random.bytes(32)))
  }
}

function createMember ({ blake3 }: World, seed: Uint8Array, nodes: Iterable<Uint8Array> = []): Member {
  return { seed, peer: createPeer({ blake3, seed, nodes, now: () => TIME }), connection: null, link: null }
}

const isConnected = (one: Member): boolean => one.link?.socket.readyState === 1

function connect ({ server, room, random, lost }: World, one: Member): void {
  one.link?.cut()
  const link = createRoughLink(server.open(one.peer.key), (why) => { lost.push(why) })
  one.link = link
  one.connection = connectPeer({ peer: one.peer, room, open: () => link.socket, chunk: random.pick([1024, 4096, 49_152]) })
}

function edit ({ random, written }: World, one: Member): void {
  for (let burst = 1 + random.below(4); burst > 0; burst--) {
    const ops = randomOps(random, one.peer)
    const node = isConnected(one) && one.connection !== null ? one.connection.write(ops) : one.peer.write(ops)
    written.add(toHex(node.subarray(0, 32)))
  }
}

interface Deed { below: number, name: string, run (world: World, one: Member): unknown }

/** What may happen, with the upper end of its share of a hundred. */
const DEEDS: readonly Deed[] = [
  { below: 35, name: 'edits', run: edit },
  {
    below: 60,
    name: 'sends',
    async run ({ server, random }, one) {
      one.link?.up(random)
      await server.settle()
    }
  },
  { below: 82, name: 'receives', run: ({ random }, one) => one.link?.down(random) },
  { below: 87, name: 'is cut off', run: (_world, one) => one.link?.cut() },
  { below: 96, name: 'connects', run: connect },
  {
    below: 99,
    name: 'restarts',
    run (world, one) {
      one.link?.cut()
      Object.assign(one, createMember(world, one.seed, [...one.peer.nodes()]))
    }
  },
  {
    below: 100,
    name: 'sees the server restart',
    async run ({ server, lost }) {
      await server.restart()
      lost.length = 0
    }
  }
]

async function step (world: World): Promise<void> {
  const { random, members, trace } = world
  const at = random.below(members.length)
  const dice = random.below(100)
  const deed = DEEDS.find(({ below }) => dice < below) ?? DEEDS[0]
  await deed.run(world, members[at])
  trace.push(`${at} ${deed.name}, holds ${members[at].peer.size}`)
  lookForLost(world)
}

function lookForLost ({ lost }: World): void {
  if (lost.length > 0) throw new Error(`the server ended connections: ${lost.join(', ')}`)
}

/** Delivers everything in order until nothing is under way; a healthy server needs few rounds. */
async function quiet (world: World): Promise<void> {
  const { server, members } = world
  for (let round = 0; round < 50; round++) {
    let moved = 0
    for (const one of members) moved += one.link?.up(null) ?? 0
    await server.settle()
    for (const one of members) moved += one.link?.down(null) ?? 0
    lookForLost(world)
    if (moved === 0) return
  }
  throw new Error('does not come to rest')
}

async function finish (world: World): Promise<string> {
  const { members, random, server, blake3 } = world
  for (const one of members) if (!isConnected(one)) connect(world, one)
  await quiet(world)
  const newcomer = createMember(world, random.bytes(32))
  members.push(newcomer)
  connect(world, newcomer)
  await quiet(world)
  const hash = canonicalHash(newcomer.peer.nodes(), blake3)
  members.forEach((one, i) => { check(i, one, world.written, hash, blake3) })
  for (const one of members) one.link?.cut()
  await server.settle()
  return hash
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
