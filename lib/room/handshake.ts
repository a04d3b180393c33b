import { NodalmergeError } from '../errors.js'
import { NONE } from '../dag/ranges.js'
import { type Claim, type Reconciled, reconcile } from '../dag/reconcile.js'
import { DEFAULT_CAPS, negotiateCaps } from '../protocol/caps.js'
import { parseMessage } from '../protocol/message.js'
import { fromBase64 } from '../protocol/base64.js'
import { fromHex, fromHexList, toHex } from '../protocol/hex.js'
import { type Authority, authorityOf } from './authority.js'
import type { Run } from './frame.js'
import { catchUp, filtered, historyFrames } from './history.js'
import type { Allowance } from './quota.js'
import type { Room } from './room.js'
import type { Hello, Server } from './server.js'
import type { Peer, Session, Terms } from './session.js'
import { createSubscription } from './subscription.js'
import { drive } from './turn.js'

/** Extensions of spec/client.md §11.1 that this server speaks, and `rate`: its bounds on new nodes and bytes per second. Sockets are ordered, so `seq` has no gap to find and is not offered. */
const EXTENSIONS = ['literal-missing', 'ack', 'rate']

/** The close code of every failed authentication; 4002 would ask the client to fetch another token at once. */
const AUTH_FAILED = 1008

/** The path segment under which the room is taken from the hello (spec/session-protocol.md §1.1). */
export const RUNTIME_ROOM = 'runtime'

/** Works through the first frame (§1.4). Every failure ends the session with an error frame and a close frame (§1.5). */
export async function greet (session: Session, text: string): Promise<void> {
  const { server } = session
  let hello: Hello
  try {
    hello = readHello(text, server.limits.helloBytes)
  } catch (error) {
    const told = error instanceof NodalmergeError && error.message !== 'invalid JSON' ? error : new NodalmergeError('unauthorized.hello_expected')
    return session.refuse(told, told.message)
  }
  try {
    await welcome(session, hello)
  } catch (error) {
    if (!(error instanceof NodalmergeError)) throw error
    await turnAway(session, hello, error)
  }
}

function readHello (text: string, most: number): Hello {
  if (text.length > most) throw new NodalmergeError('reject.protocol_message_too_large')
  const message = parseMessage(text)
  if (message.type !== 'hello') throw new NodalmergeError('unauthorized.hello_expected')
  return message
}

async function turnAway (session: Session, hello: Hello, error: NodalmergeError): Promise<void> {
  const { server } = session
  server.log.info({ code: error.code, address: session.arrival.address }, error.message)
  if (!error.code.startsWith('unauthorized.')) return session.refuse(error, error.message)
  const delay = server.patience.strain(`${session.arrival.address} ${hello.pubkey}`)
  if (delay > 0) await new Promise<void>((resolve) => server.clock.after(delay, resolve))
  await session.refuse(new NodalmergeError(error.code, error.message.startsWith('auth: ') ? error.message : `auth: ${error.message}`), 'auth failed', AUTH_FAILED)
}

async function welcome (session: Session, hello: Hello): Promise<void> {
  const { server, arrival } = session
  if (hello.pubkey.toLowerCase() === toHex(server.signer.publicKey)) throw new NodalmergeError('unauthorized.reserved_identity')
  const roomId = arrival.room ?? hello.room ?? ''
  const authority = await authorityOf(server, roomId, hello, arrival.request)
  server.patience.forget(`${arrival.address} ${hello.pubkey}`)
  const room = await within(server, server.rooms.open(roomId))
  const { sessionsPerRoom } = server.limits
  if (sessionsPerRoom > 0 && room.sessions.size >= sessionsPerRoom) throw new NodalmergeError('reject.server_overload')
  await room.use(() => join(session, hello, room, settle(session, hello, room, authority)))
}

async function join (session: Session, hello: Hello, room: Room, terms: Terms): Promise<void> {
  await admit(session.server, terms)
  // Hashing what came since the trie was last looked at; a handshake would otherwise do it in one piece.
  if (terms.caps.supports_mst) await drive(room.trie.settle())
  const reconciled = await drive(reconcile(room, claimOf(hello, terms.caps.supports_ibf)))
  const runs = await filtered(terms.subscription, reconciled.missing)
  if (session.phase !== 'closed') enter(session, { ...terms, catchUp: reconciled.missing }, reconciled, runs)
}

/** What the client says it holds. A filter that cannot be read counts as none; so does one that was not negotiated (§1.8). */
function claimOf (hello: Hello, ibf: boolean): Claim {
  return {
    heads: fromHexList(hello.frontier),
    root: fromHex(hello.root, 32),
    mstRoot: fromHex(hello.mst_root, 32),
    filter: ibf && hello.ibf !== undefined ? decodeOrNull(hello.ibf) : null,
    known: fromHexList(hello.known)
  }
}

function decodeOrNull (text: string): Uint8Array | null {
  try {
    return fromBase64(text)
  } catch {
    return null
  }
}

/** Loading has the hello's time; a room that needs longer is asked for again later (§5.7). */
function within (server: Server, room: Promise<Room>): Promise<Room> {
  return new Promise((resolve, reject) => {
    const cancel = server.clock.after(server.limits.helloTimeoutMs, () => reject(new NodalmergeError('reject.room_unavailable')))
    room.then(resolve, reject).finally(cancel)
  })
}

function settle (session: Session, hello: Hello, room: Room, authority: Authority): Terms {
  const { server, arrival } = session
  const peer: Peer = { pubkey: hello.pubkey, peerId: hello.peer_id ?? hello.pubkey, peerType: hello.peer_type }
  return {
    room,
    peer,
    caps: negotiateCaps({ ...DEFAULT_CAPS, supports_direct_blob_io: server.blobs.manifest.presign }, hello.caps),
    offeredDirect: hello.caps.supports_direct_blob_io,
    ext: EXTENSIONS.filter((name) => hello.client?.ext.includes(name) === true),
    capabilities: authority.capabilities,
    byToken: authority.byToken,
    identity: authority.identity,
    expiresAt: authority.expiresAt,
    subscription: createSubscription(room.dag, hello.subscribe),
    catchUp: NONE,
    quota: server.quotas.of(hello.pubkey, arrival.address)
  }
}

async function admit (server: Server, { room, peer, identity, subscription }: Terms): Promise<void> {
  if (server.authorize === null) return
  const asker = { room: room.id, ...peer, identity }
  for (const action of [{ type: 'open' as const }, { type: 'read' as const, patterns: subscription.patterns }]) {
    const answer = await server.authorize(asker, action)
    if (answer !== true) throw new NodalmergeError('unauthorized.denied', answer.refused)
  }
}

/** From here to the first catch-up frame nothing is awaited: the room's root, its peers and the catch-up are one consistent view. */
function enter (session: Session, terms: Terms, reconciled: Reconciled, runs: readonly Run[]): void {
  const { room, quota, peer } = terms
  const allowance = quota.welcome(session.server.clock.now())
  const peers = room.members.others(peer.pubkey)
  session.enter(terms)
  session.send({ ...welcomeMessage(session, terms, peers, reconciled), ...rateOf(session, allowance) })
  const frames = historyFrames(session, room, runs, null)
  const first = frames.next()
  if (first.done !== true) session.outbox.reply(first.value)
  session.background(catchUp(session, room, frames, reconciled.size))
  session.begin()
}

function welcomeMessage (session: Session, { room, caps, ext }: Terms, peers: string[], reconciled: Reconciled): object {
  return {
    type: 'welcome',
    room: room.id,
    session_id: session.id,
    root: toHex(room.dag.root()),
    frontier: room.dag.heads().map(toHex),
    missing: ext.includes('literal-missing') ? reconciled.wanted.map(toHex) : [],
    caps,
    server_pubkey: toHex(session.server.signer.publicKey),
    peers,
    ...(caps.supports_mst ? { mst_root: toHex(room.trie.root()) } : {}),
    ...(ext.length === 0 ? {} : { ext })
  }
}

/** What a client needs to stay within its bounds instead of being closed with 4008; 0 is no bound. */
function rateOf ({ server: { limits }, terms }: Session, allowance: Allowance | null): object {
  if (!terms.ext.includes('rate')) return {}
  const rate = { nodes: limits.nodesPerSecond, bytes: limits.bytesPerSecond }
  return { rate: allowance === null ? rate : { ...rate, reconcile: allowance } }
}
