import { verifyOne } from '../../lib/crypto/ed25519.js'
import { NodalmergeError } from '../../lib/errors.js'
import { DEFAULT_CAPS, negotiateCaps, readCaps } from '../../lib/protocol/caps.js'
import { type TokenContext, verifyToken } from '../../lib/protocol/token.js'
import { toHex } from '../../lib/protocol/hex.js'
import { type Bucket, createBucket } from '../../lib/room/bucket.js'
import type { ServerEnd } from '../../lib/testing/socket.js'
import { HANDLERS } from './original-handlers.js'
import { type OriginalRoom, filterPack } from './original-room.js'
import { type World, keyText } from './original-server.js'

export type Message = Record<string, unknown> & { type: string }

/** One connection, from upgrade to close (spec/session-protocol.md §1.2). */
export interface OriginalSession {
  readonly end: ServerEnd
  readonly world: World
  readonly roomId: string
  readonly room: OriginalRoom
  pubkey: string
  phase: 'hello' | 'opening' | 'live' | 'closed'
  patterns: readonly string[]
  caps: typeof DEFAULT_CAPS
  readonly nodes: Bucket
  readonly bytes: Bucket
  send (message: object): void
  /** A message of the room; those whose `from` is this session's own key are passed over. */
  broadcast (message: Message): void
}

const HELLO_MS = 15_000
const WELCOME_MS = 100
/** Timers wait no longer (§5.6). */
const LONGEST_TIMER = 2_147_483_647
/** Beyond these a filtered catch-up is silently not sent (§1.9). */
const FILTERED = { nodes: 4096, bytes: 1_048_576 }

export function createSession (world: World, roomId: string, end: ServerEnd, record: (room: string, message: Message) => void): void {
  const { clock, rate = { nodes: 200, bytes: 4_194_304 } } = world.options
  const now = clock.now()
  /** Frames that came before the session went live, and broadcasts that wait for the catch-up (§1.2). */
  const inbox: string[] = []
  const held: Message[] = []
  const session: OriginalSession = {
    end,
    world,
    roomId,
    room: world.room(roomId),
    pubkey: '',
    phase: 'hello',
    patterns: [],
    caps: DEFAULT_CAPS,
    nodes: createBucket(rate.nodes, now),
    bytes: createBucket(rate.bytes, now),
    send: (message) => { end.send(JSON.stringify(message)) },
    broadcast (message) {
      if (session.phase === 'live') relay(session, message)
      else held.push(message)
    }
  }
  const timeout = clock.after(HELLO_MS, () => { end.close(1006) })
  world.sessions.add(session)
  end.onClose(() => {
    timeout()
    leave(session)
  })
  const handle = (text: string): void => {
    const message = readJson(text)
    if (message === null) return session.send({ type: 'error', msg: 'invalid JSON' })
    record(roomId, message)
    HANDLERS[message.type]?.(session, message)
  }
  end.onMessage((text) => {
    if (session.phase === 'live') return handle(text)
    if (session.phase !== 'hello') {
      inbox.push(text)
      return
    }
    timeout()
    session.phase = 'opening'
    greet(session, text, record, () => {
      for (const message of held.splice(0)) relay(session, message)
      for (const early of inbox.splice(0)) handle(early)
    }).catch((error: unknown) => { end.close(1011, String(error)) })
  })
}

function readJson (text: string): Message | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { type: '', ...value } : { type: '' }
  } catch {
    return null
  }
}

/** §1.4. The difference is computed before the wait; what the room tells meanwhile follows the catch-up. */
async function greet (session: OriginalSession, text: string, record: (room: string, message: Message) => void, live: () => void): Promise<void> {
  const hello = readJson(text)
  const { room, world } = session
  if (hello?.type !== 'hello') return refuse(session, 'expected hello')
  record(session.roomId, hello)
  session.pubkey = typeof hello.pubkey === 'string' ? hello.pubkey : ''
  session.patterns = Array.isArray(hello.subscribe) ? hello.subscribe.filter((pattern) => typeof pattern === 'string') : []
  if (room.key !== null && !await authorise(session, hello, room.key)) return
  session.caps = negotiateCaps(DEFAULT_CAPS, readCaps(hello.caps))
  const welcome = welcomeOf(session, hello)
  const first = membersOf(session).length === 0
  if (first) tell(session, { type: 'peer-joined', from: session.pubkey, pubkey: session.pubkey })
  world.options.clock.after(WELCOME_MS, () => {
    if (session.phase === 'closed') return
    session.send(welcome.message)
    if (welcome.catchUp !== null) session.send({ type: 'pack', from: 'server', nodes: welcome.catchUp })
    session.phase = 'live'
    live()
  })
}

function refuse (session: OriginalSession, msg: string): void {
  session.send({ type: 'error', msg })
  session.end.close(1006)
}

/** §5.6. An expired token ends the session later on with 4002. */
async function authorise (session: OriginalSession, hello: Message, key: Uint8Array): Promise<boolean> {
  const { clock } = session.world.options
  const now = Math.floor(clock.now() / 1000)
  const context: TokenContext = { room: session.roomId, pubkey: session.pubkey, key, now, verify: verifyOne }
  const token = typeof hello.token === 'object' && hello.token !== null ? { ...hello.token } : undefined
  const grant = await verifyToken(token, context)
  if (grant instanceof NodalmergeError) {
    refuse(session, grant.message)
    return false
  }
  clock.after(Math.min(LONGEST_TIMER, (grant.expiry - now) * 1000), () => { session.end.close(4002, 'token expired') })
  return true
}

function welcomeOf (session: OriginalSession, hello: Message): { message: Message, catchUp: string | null } {
  const { room, caps, world, patterns } = session
  const { catchUp, missing } = room.differ(caps.supports_ibf, hello.ibf, hello.frontier)
  const passing = room.passing(catchUp, patterns)
  const nodes = room.pack(passing)
  const filtered = patterns.length > 0 && !patterns.includes('**')
  const over = filtered && (passing.length > FILTERED.nodes || nodes.length * 3 / 4 > FILTERED.bytes)
  const message: Message = {
    type: 'welcome',
    root: toHex(room.dag.root()),
    frontier: room.dag.heads().map(toHex),
    missing,
    caps,
    server_pubkey: keyText(world),
    peers: [...new Set(othersOf(session).map(({ pubkey }) => pubkey))].filter((pubkey) => pubkey !== session.pubkey),
    ...(caps.supports_mst ? { mst_root: toHex(room.trie.root()) } : {})
  }
  return { message, catchUp: passing.length === 0 || over ? null : nodes }
}

/** Sessions of the room that have said who they are. */
function othersOf (session: OriginalSession): OriginalSession[] {
  return [...session.world.sessions].filter((other) => other !== session && other.roomId === session.roomId && other.phase !== 'hello')
}

function membersOf (session: OriginalSession): OriginalSession[] {
  return othersOf(session).filter(({ pubkey }) => pubkey === session.pubkey)
}

/** To everybody in the room, the sender included: each session passes over what comes from its own key. */
export function tell (session: OriginalSession, message: Message): void {
  session.broadcast(message)
  for (const other of othersOf(session)) other.broadcast(message)
}

function relay (session: OriginalSession, message: Message): void {
  if (message.from === session.pubkey) return
  if (message.type !== 'pack' || session.patterns.length === 0) return session.send(message)
  const nodes = filterPack(String(message.nodes), session.patterns)
  if (nodes !== null) session.send({ ...message, nodes })
}

function leave (session: OriginalSession): void {
  const present = session.phase === 'live' || session.phase === 'opening'
  session.phase = 'closed'
  session.world.sessions.delete(session)
  if (present && membersOf(session).length === 0) tell(session, { type: 'peer-left', from: session.pubkey })
}
