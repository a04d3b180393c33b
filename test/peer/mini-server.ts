import type { Blake3 } from '../../lib/protocol/blake3.js'
import { fromBase64, toBase64 } from '../../lib/protocol/base64.js'
import { toHex } from '../../lib/protocol/hex.js'
import { bytesOf, idOf } from '../../lib/protocol/node.js'
import { scanPack } from '../../lib/protocol/pack.js'
import { type Message } from '../../lib/testing/connection.js'
import { type Peer, chunkNodes, createPeer } from '../../lib/testing/peer.js'
import { type ServerEnd, type WebSocketLike, createSocketPair } from '../../lib/testing/socket.js'
import { createMst } from '../emulators/mst.js'

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

interface Session { end: ServerEnd, room: string, pubkey: string, live: boolean, refusals: Map<string, number>, redirected: Set<string> }

/** A server of one page: enough of the protocol to prove the emulators and the fuzz engine, and a second opinion on the real one. */
export interface MiniServer {
  /** Opens a connection; `path` is what follows the origin, such as `/ws/boards%2Fabc`. */
  connect (path: string): WebSocketLike
  room (id: string): Peer
  /** Ends every connection. Nodes stay; what waited for parents is lost. */
  restart (): void
  /** What the server received, in order. */
  readonly frames: readonly { room: string, from: string, message: Message }[]
}

const CAPS = {
  supports_ibf: true,
  supports_mst: false,
  supports_postcard: true,
  supports_encryption: true,
  supports_webrtc: false,
  max_tick_interval_ms: null,
  supports_list_crdt: true,
  supports_direct_blob_io: false
}

export function createMiniServer (options: MiniOptions): MiniServer {
  const { blake3 } = options
  const rooms = new Map<string, Peer>()
  const blobs = new Map<string, Uint8Array>()
  const sessions = new Set<Session>()
  const frames: { room: string, from: string, message: Message }[] = []

  function room (id: string): Peer {
    const known = rooms.get(id) ?? createPeer({ blake3, seed: new Uint8Array(32) })
    rooms.set(id, known)
    return known
  }
  const send = (session: Session, message: Message): void => { session.end.send(JSON.stringify(message)) }
  const others = (session: Session): Session[] => [...sessions].filter((other) => other !== session && other.live && other.room === session.room)
  const broadcast = (to: Iterable<Session>, message: Message): void => { for (const session of to) send(session, message) }
  const packs = (session: Session, nodes: Uint8Array[]): void => {
    const chunks = chunkNodes(nodes, 1_048_576)
    if (chunks.length === 0) send(session, { type: 'pack', from: 'server', nodes: 'AA==' })
    for (const chunk of chunks) send(session, { type: 'pack', from: 'server', nodes: chunk.text })
  }

  function hello (session: Session, message: Message): void {
    if (session.room === 'runtime') session.room = String(message.room)
    session.pubkey = String(message.pubkey)
    const own = room(session.room)
    const peers = [...new Set(others(session).map((other) => other.pubkey))]
    const mst = options.mst === true
    const welcome: Message = {
      type: 'welcome',
      root: own.root,
      frontier: own.frontier,
      missing: [],
      caps: { ...CAPS, supports_mst: mst, supports_direct_blob_io: options.redirect !== undefined || options.grant !== undefined },
      server_pubkey: own.key,
      peers,
      ...(mst ? { mst_root: createMst(blake3, own.ids()).root() } : {})
    }
    send(session, options.welcome?.(welcome, own) ?? welcome)
    const catchUp = own.beyond(message.frontier as string[])
    if (catchUp.length > 0) packs(session, catchUp)
    session.live = true
    if (!peers.includes(session.pubkey)) broadcast(others(session), { type: 'peer-joined', from: session.pubkey, pubkey: session.pubkey })
  }

  function pack (session: Session, message: Message): void {
    const bytes = fromBase64(String(message.nodes))
    const incoming = scanPack(bytes).map((node) => ({ id: toHex(idOf(node)), bytes: bytesOf(node), sentinel: node.sentinel }))
    if (incoming.length === 0) return
    const denied = incoming.filter(({ sentinel }) => sentinel)
    const own = room(session.room)
    const result = own.receive(own.pack(incoming.filter((node) => !denied.includes(node)).map((node) => node.bytes)))
    const rejected = [
      ...denied.map(({ id }) => ({ id, code: 'reject.authority_required' })),
      ...result.refused,
      ...incoming.filter((node) => !denied.includes(node) && !own.has(node.id)).map(({ id }) => ({ id, code: 'reject.missing_parent' }))
    ]
    if (rejected.length > 0) send(session, { type: 'error', msg: rejected.map((entry) => entry.code).join('; ') })
    const ack = { type: 'pack-ack', room: session.room, incoming_count: incoming.length, accepted_count: incoming.length - rejected.length, rejected_count: rejected.length, duplicate_count: result.duplicates, rejected: rejected.slice(0, 64), ...('id' in message ? { id: message.id } : {}) }
    const repeats = Math.max(0, ...rejected.map(({ id }) => {
      session.refusals.set(id, (session.refusals.get(id) ?? 0) + 1)
      return session.refusals.get(id) ?? 0
    }))
    if (repeats < 3) send(session, ack)
    else setTimeout(() => { if (sessions.has(session)) send(session, ack) }, 250 * 2 ** (repeats - 3)).unref()
    if (result.accepted.length > 0) broadcast(others(session), { type: 'pack', from: session.pubkey, nodes: toBase64(own.pack(result.accepted)), root: own.root })
  }

  const announce = (session: Session, hashes: string[]): void => { broadcast([session, ...others(session)], { type: 'blob-available', hashes }) }

  function blobUpload (session: Session, message: Message): void {
    const stored = (message.blobs as { hash: string, data: string }[]).flatMap(({ hash, data }) => {
      const bytes = fromBase64(data)
      if (toHex(blake3.hash(bytes)) !== hash) return []
      blobs.set(hash, bytes)
      return [hash]
    })
    if (stored.length > 0) announce(session, stored)
  }

  function blobRequest (session: Session, message: Message): void {
    const hashes = message.hashes as string[]
    const redirected = options.redirect === undefined ? [] : hashes.filter((hash) => blobs.has(hash) && !session.redirected.has(hash))
    for (const hash of redirected) session.redirected.add(hash)
    if (redirected.length > 0) send(session, { type: 'blob-redirect', redirects: redirected.map((hash) => ({ hash, url: `${options.redirect}/${hash}`, expires_at_unix: 4e9 })) })
    const requested = hashes.filter((hash) => !redirected.includes(hash))
    send(session, { type: 'blob-pack', blobs: requested.flatMap((hash) => { const bytes = blobs.get(hash); return bytes === undefined ? [] : [{ hash, data: toBase64(bytes) }] }), requested })
  }

  function mst (session: Session, message: Message): void {
    const own = room(session.room)
    if (message.type === 'mst-done') { packs(session, (message.ids as string[]).flatMap((id) => own.node(id) ?? [])); return }
    const trie = createMst(blake3, own.ids())
    send(session, { type: 'mst-response', nodes: (message.paths as string[]).flatMap((path) => trie.node(path) ?? []) })
  }

  const handlers: Record<string, (session: Session, message: Message) => void> = {
    pack,
    request: (session, message) => { packs(session, room(session.room).missingFrom(message.known as string[])) },
    'mst-request': mst,
    'mst-done': mst,
    'blob-upload': blobUpload,
    'blob-request': blobRequest,
    'request-upload': (session, { hash }) => { send(session, options.grant === undefined ? { type: 'upload-denied', hash, reason: 'use-ws' } : { type: 'upload-granted', hash, url: `${options.grant}/${String(hash)}`, expires_at_unix: 4e9 }) },
    'blob-uploaded': (session, { hash }) => { announce(session, [String(hash)]) },
    presence: (session, { data }) => { broadcast(others(session), { type: 'presence', from: session.pubkey, data }) },
    'presence-set': (session, { data }) => { broadcast(others(session), { type: 'presence', from: session.pubkey, data }) },
    'presence-get': (session) => { send(session, { type: 'presence-snapshot', room: session.room, entries: [] }) }
  }

  function connect (path: string): WebSocketLike {
    const pair = createSocketPair(options.deliver)
    const session: Session = { end: pair.server, room: decodeURIComponent(path.replace(/^\/ws\//, '')), pubkey: '', live: false, refusals: new Map(), redirected: new Set() }
    sessions.add(session)
    pair.server.onMessage((text) => {
      const message = JSON.parse(text) as Message
      if (message.type === 'hello') hello(session, message)
      else handlers[message.type]?.(session, message)
      frames.push({ room: session.room, from: session.pubkey, message })
    })
    pair.server.onClose(() => {
      sessions.delete(session)
      if (session.live && !others(session).some((other) => other.pubkey === session.pubkey)) broadcast(others(session), { type: 'peer-left', from: session.pubkey })
    })
    return pair.client
  }

  return {
    connect,
    room,
    frames,
    restart () {
      for (const session of sessions) session.end.close(1012, 'restart')
      for (const [id, old] of rooms) rooms.set(id, createPeer({ blake3, seed: new Uint8Array(32), nodes: old.nodes() }))
    }
  }
}
