import { fromBase64, toBase64 } from '../../lib/protocol/base64.js'
import { fromHex, toHex } from '../../lib/protocol/hex.js'
import type { NodeView } from '../../lib/protocol/node.js'
import { encodePack, scanPack } from '../../lib/protocol/pack.js'
import { keyText } from './original-server.js'
import { type Message, type OriginalSession, tell } from './original-session.js'

type Handler = (session: OriginalSession, message: Message) => void

const fail = (session: OriginalSession, msg: string): void => { session.send({ type: 'error', msg }) }
const texts = (value: unknown): string[] => Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : []

function readPack (session: OriginalSession, text: string): { nodes: NodeView[], size: number } | null {
  let bytes: Uint8Array
  try {
    bytes = fromBase64(text)
  } catch {
    fail(session, 'invalid pack: bad base64')
    return null
  }
  try {
    return { nodes: scanPack(bytes), size: bytes.length }
  } catch {
    fail(session, 'invalid pack: bad postcard')
    return null
  }
}

/** §2.1: charged whole before anything is looked at, no acknowledgement, one text for all refusals, then the relay. */
const pack: Handler = (session, message) => {
  const { room, world, nodes, bytes } = session
  const read = readPack(session, typeof message.nodes === 'string' ? message.nodes : '')
  if (read === null) return
  const now = world.options.clock.now()
  if (read.nodes.length > 0 && !(nodes.take(read.nodes.length, now) && bytes.take(read.size, now))) {
    session.phase = 'closed'
    return session.end.close(4008, 'rate limit exceeded')
  }
  const { accepted, refusals } = room.import(read.nodes, now)
  if (refusals.length > 0) fail(session, refusals.join('; '))
  if (accepted.length === 0) return
  tell(session, { type: 'pack', from: session.pubkey, nodes: toBase64(encodePack(accepted)), root: toHex(room.dag.root()) })
}

/** §2.4: always answered, unfiltered, in one frame. */
const request: Handler = (session, { known }) => {
  const { room } = session
  session.send({ type: 'pack', from: 'server', nodes: room.pack(room.without(known)), root: toHex(room.dag.root()) })
}

const mstDone: Handler = (session, { ids }) => {
  const { room } = session
  if (!texts(ids).some((id) => fromHex(id, 32) !== null)) return
  session.send({ type: 'pack', from: 'server', nodes: room.pack(room.only(ids)), root: toHex(room.dag.root()) })
}

/** §3.1: what cannot be stored is passed over in silence; the uploader hears of what was, like everybody. */
const blobUpload: Handler = (session, { blobs }) => {
  if (!Array.isArray(blobs)) return
  const stored = (blobs as unknown[]).flatMap((entry) => {
    const { hash, data }: { hash?: unknown, data?: unknown } = Object(entry)
    return typeof data === 'string' ? store(session, hash, data) ?? [] : []
  })
  if (stored.length > 0) tell(session, { type: 'blob-available', hashes: stored })
}

function store ({ world }: OriginalSession, name: unknown, data: string): string | null {
  const hash = fromHex(name, 32)
  try {
    const bytes = fromBase64(data)
    if (hash === null || toHex(world.options.blake3.hash(bytes)) !== toHex(hash)) return null
    world.blobs.set(toHex(hash), bytes)
    return toHex(hash)
  } catch {
    return null
  }
}

/** §3.2: redirects where the backend can, then always a `blob-pack` for the rest. The object store is not read over the socket. */
const blobRequest: Handler = (session, { hashes }) => {
  const { world, caps } = session
  const presign = caps.supports_direct_blob_io ? world.options.presign : undefined
  const urls = new Map(texts(hashes).flatMap((hash) => {
    const url = presign?.get(hash) ?? null
    return url === null ? [] : [[hash, url] as const]
  }))
  const expires = Math.floor(world.options.clock.now() / 1000) + 3600
  if (urls.size > 0) session.send({ type: 'blob-redirect', redirects: [...urls].map(([hash, url]) => ({ hash, url, expires_at_unix: expires })) })
  const requested = texts(hashes).filter((hash) => !urls.has(hash))
  const found = requested.flatMap((hash) => {
    const bytes = world.blobs.get(hash)
    return bytes === undefined ? [] : [{ hash, data: toBase64(bytes) }]
  })
  session.send({ type: 'blob-pack', blobs: found, requested })
}

const requestUpload: Handler = (session, { type, hash }) => {
  const name = gate(session, type, hash)
  if (name === null) return
  const { options } = session.world
  const url = options.presign?.put(name) ?? null
  if (url === null) session.send({ type: 'upload-denied', hash, reason: 'use-ws' })
  else session.send({ type: 'upload-granted', hash, url, expires_at_unix: Math.floor(options.clock.now() / 1000) + 900 })
}

/** §3.4: a backend that cannot presign says yes to everything. */
const blobUploaded: Handler = (session, { type, hash }) => {
  const name = gate(session, type, hash)
  if (name === null) return
  const { options, blobs } = session.world
  if (options.presign !== undefined && !blobs.has(name)) session.send({ type: 'upload-rejected', hash, reason: 'object not found' })
  else tell(session, { type: 'blob-available', hashes: [name] })
}

function gate (session: OriginalSession, type: string, name: unknown): string | null {
  if (!session.caps.supports_direct_blob_io) {
    fail(session, `${type} not negotiated`)
    return null
  }
  const hash = fromHex(name, 32)
  if (hash === null) fail(session, `${type}: bad hash`)
  return hash === null ? null : toHex(hash)
}

const isUnsigned = (value: unknown): boolean => typeof value === 'number' && Number.isInteger(value) && value >= 0

/** §4.1: lease fields are checked and dropped; nothing is stored. */
const presence: Handler = (session, { data, ttl_ms: ttl, now_unix_ms: now }) => {
  const fault = ttl !== undefined && (!isUnsigned(ttl) || ttl === 0)
    ? 'ttl_ms_must_be_positive_u64'
    : now !== undefined && !isUnsigned(now)
      ? 'now_unix_ms_must_be_u64'
      : ttl !== undefined && now === undefined
        ? 'ttl_ms_requires_now_unix_ms'
        : ttl === undefined && now !== undefined ? 'now_unix_ms_requires_ttl_ms' : null
  if (fault !== null) return fail(session, `reject.presence_lease_invalid:${fault}`)
  tell(session, { type: 'presence', from: session.pubkey, data: data ?? null })
}

const signal: Handler = (session, message) => { tell(session, { ...message, from: session.pubkey }) }

/** What the original server routes; everything else, `presence-set` and `presence-get` among it, is ignored. */
export const HANDLERS: Readonly<Record<string, Handler>> = {
  pack,
  request,
  'mst-request': (session, { paths }) => { session.send({ type: 'mst-response', nodes: session.room.trie.nodes(texts(paths)) }) },
  'mst-done': mstDone,
  subscribe (session, { patterns }) {
    session.patterns = texts(patterns)
    session.send({ type: 'subscribe-ack' })
  },
  'blob-upload': blobUpload,
  'blob-request': blobRequest,
  'request-upload': requestUpload,
  'blob-uploaded': blobUploaded,
  presence,
  'webrtc-offer': signal,
  'webrtc-answer': signal,
  'webrtc-ice': signal,
  'server-info': (session) => { session.send({ type: 'server-info', pubkey: keyText(session.world) }) }
}
