import { fromBase64, toBase64 } from '../../lib/protocol/base64.js'
import { toHex } from '../../lib/protocol/hex.js'
import { type NodeView, bytesOf, idOf } from '../../lib/protocol/node.js'
import { scanPack } from '../../lib/protocol/pack.js'
import type { Message } from '../../lib/testing/connection.js'
import { createMst } from '../emulators/mst.js'
import { type MiniSession, type MiniWorld, broadcast, othersOf, relay, roomOf, say, sayNodes } from './mini-session.js'

type Handler = (world: MiniWorld, session: MiniSession, message: Message) => void
interface Rejected { id: string, code: string }

const CAPS = {
  supports_ibf: true,
  supports_postcard: true,
  supports_encryption: true,
  supports_webrtc: false,
  max_tick_interval_ms: null,
  supports_list_crdt: true
}

const hello: Handler = (world, session, message) => {
  const { options } = world
  if (session.room === 'runtime') session.room = String(message.room)
  session.pubkey = String(message.pubkey)
  const room = roomOf(world, session.room)
  const peers = [...new Set(othersOf(world, session).map((other) => other.pubkey))]
  const mst = options.mst === true
  const welcome: Message = {
    type: 'welcome',
    root: room.root,
    frontier: room.frontier,
    missing: [],
    caps: { ...CAPS, supports_mst: mst, supports_direct_blob_io: options.redirect !== undefined || options.grant !== undefined },
    server_pubkey: room.key,
    peers,
    ...(mst ? { mst_root: createMst(options.blake3, room.ids()).root() } : {})
  }
  say(session, options.welcome?.(welcome, room) ?? welcome)
  const catchUp = room.beyond(message.frontier as string[])
  if (catchUp.length > 0) sayNodes(session, catchUp)
  session.live = true
  if (!peers.includes(session.pubkey)) broadcast(othersOf(world, session), { type: 'peer-joined', from: session.pubkey, pubkey: session.pubkey })
}

/** Refuses what has a sentinel key, reports what waits for a parent, acknowledges, relays. Empty packs get no answer. */
const pack: Handler = (world, session, message) => {
  const incoming = scanPack(fromBase64(String(message.nodes)))
  if (incoming.length === 0) return
  const room = roomOf(world, session.room)
  const result = room.receive(room.pack(incoming.filter((node) => !node.sentinel).map(bytesOf)))
  const name = (node: NodeView): string => toHex(idOf(node))
  const rejected = [
    ...incoming.filter((node) => node.sentinel).map((node) => ({ id: name(node), code: 'reject.authority_required' })),
    ...result.refused,
    ...incoming.filter((node) => !node.sentinel && !room.has(name(node))).map((node) => ({ id: name(node), code: 'reject.missing_parent' }))
  ]
  acknowledge(world, session, message, incoming.length, rejected, result.duplicates)
  if (result.accepted.length > 0) relay(world, session, result.accepted)
}

/** From the third refusal of one node on the answer takes ever longer (spec/session-protocol.md §2.2). */
function acknowledge (world: MiniWorld, session: MiniSession, { id }: Message, incoming: number, rejected: Rejected[], duplicates: number): void {
  if (rejected.length > 0) say(session, { type: 'error', msg: rejected.map((entry) => entry.code).join('; ') })
  const ack = {
    type: 'pack-ack',
    room: session.room,
    incoming_count: incoming,
    accepted_count: incoming - rejected.length,
    rejected_count: rejected.length,
    duplicate_count: duplicates,
    rejected: rejected.slice(0, 64),
    ...(id === undefined ? {} : { id })
  }
  for (const entry of rejected) session.refusals.set(entry.id, (session.refusals.get(entry.id) ?? 0) + 1)
  const repeats = Math.max(0, ...rejected.map((entry) => session.refusals.get(entry.id) ?? 0))
  if (repeats < 3) say(session, ack)
  else setTimeout(() => { if (world.sessions.has(session)) say(session, ack) }, 250 * 2 ** (repeats - 3)).unref()
}

function announce (world: MiniWorld, session: MiniSession, hashes: string[]): void {
  broadcast([session, ...othersOf(world, session)], { type: 'blob-available', hashes })
}

const blobUpload: Handler = (world, session, message) => {
  const stored = (message.blobs as { hash: string, data: string }[]).flatMap(({ hash, data }) => {
    const bytes = fromBase64(data)
    if (toHex(world.options.blake3.hash(bytes)) !== hash) return []
    world.blobs.set(hash, bytes)
    return [hash]
  })
  if (stored.length > 0) announce(world, session, stored)
}

/** A redirect once for each hash and session, bytes after that. */
const blobRequest: Handler = (world, session, message) => {
  const hashes = message.hashes as string[]
  const { redirect } = world.options
  const redirected = redirect === undefined ? [] : hashes.filter((hash) => world.blobs.has(hash) && !session.redirected.has(hash))
  for (const hash of redirected) session.redirected.add(hash)
  const redirects = redirected.map((hash) => ({ hash, url: `${redirect}/${hash}`, expires_at_unix: 4e9 }))
  if (redirects.length > 0) say(session, { type: 'blob-redirect', redirects })
  const requested = hashes.filter((hash) => !redirected.includes(hash))
  const blobs = requested.flatMap((hash) => {
    const bytes = world.blobs.get(hash)
    return bytes === undefined ? [] : [{ hash, data: toBase64(bytes) }]
  })
  say(session, { type: 'blob-pack', blobs, requested })
}

const requestUpload: Handler = ({ options: { grant } }, session, { hash }) => {
  if (grant === undefined) say(session, { type: 'upload-denied', hash, reason: 'use-ws' })
  else say(session, { type: 'upload-granted', hash, url: `${grant}/${String(hash)}`, expires_at_unix: 4e9 })
}

const mstRequest: Handler = (world, session, message) => {
  const trie = createMst(world.options.blake3, roomOf(world, session.room).ids())
  say(session, { type: 'mst-response', nodes: (message.paths as string[]).flatMap((path) => trie.node(path) ?? []) })
}

const presence: Handler = (world, session, { data }) => {
  broadcast(othersOf(world, session), { type: 'presence', from: session.pubkey, data })
}

export const HANDLERS: Readonly<Record<string, Handler>> = {
  hello,
  pack,
  request: (world, session, message) => { sayNodes(session, roomOf(world, session.room).missingFrom(message.known as string[])) },
  'mst-request': mstRequest,
  'mst-done': (world, session, message) => { sayNodes(session, (message.ids as string[]).flatMap((id) => roomOf(world, session.room).node(id) ?? [])) },
  'blob-upload': blobUpload,
  'blob-request': blobRequest,
  'request-upload': requestUpload,
  'blob-uploaded': (world, session, { hash }) => { announce(world, session, [String(hash)]) },
  presence,
  'presence-set': presence,
  'presence-get': (_world, session) => { say(session, { type: 'presence-snapshot', room: session.room, entries: [] }) }
}
