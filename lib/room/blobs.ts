import { NodalmergeError } from '../errors.js'
import { base64Length, fromBase64, toBase64 } from '../protocol/base64.js'
import { fromHex, toHex } from '../protocol/hex.js'
import type { ClientMessage } from '../protocol/message.js'
import { frame } from './frame.js'
import type { Room } from './room.js'
import type { Session } from './session.js'

type Of<Type extends ClientMessage['type']> = Extract<ClientMessage, { type: Type }>

/** How long a redirect counts as lately given, and how often one hash is answered within that time (spec/session-protocol.md §3.2). */
const REDIRECT_MS = 60_000
const REDIRECT_TRIES = 3
const REDIRECTS_REMEMBERED = 1_000

/** `blob-upload` (§3.1): stores what hashes to its name, tells everybody what was stored and the uploader what was not. */
export async function blobUpload (session: Session, room: Room, message: Of<'blob-upload'>): Promise<void> {
  const stored: string[] = []
  for (const { hash, data } of message.blobs ?? []) {
    try {
      stored.push(await storeOne(session, room, hash, data))
    } catch (error) {
      if (!(error instanceof NodalmergeError)) throw error
      session.sendError(error, { hash })
    }
  }
  announce(room, stored)
}

async function storeOne (session: Session, room: Room, name: string, data: string): Promise<string> {
  const { server } = session
  const hash = canonical(name)
  const size = base64Length(data)
  if (hash === null) throw new NodalmergeError('reject.blob_hash_invalid')
  if (size > server.limits.blobSocketBytes) throw new NodalmergeError('reject.blob_too_large')
  // Original clients send all their blobs at every connect: what the room already has costs a look, not a write.
  if (room.blobs.has(hash) && await server.blobs.stat(hash) !== null) return hash
  if (!session.blobBytes.take(size, server.clock.now())) throw new NodalmergeError('reject.rate_limit_bytes')
  await session.permit({ type: 'blob', op: 'write', hash }, 'reject.path_scope_forbidden')
  const bytes = fromBase64(data)
  await server.blobs.put(hash, once(bytes), { maxBytes: server.limits.blobSocketBytes })
  room.blobs.add(hash)
  return hash
}

async function * once (bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** Socket messages may spell a hash in upper case; stores know the lower-case form only (spec/storage-and-operations.md §3.6). */
function canonical (hash: string): string | null {
  const bytes = fromHex(hash, 32)
  return bytes === null ? null : toHex(bytes)
}

function announce (room: Room, hashes: string[]): void {
  if (hashes.length === 0) return
  const message = frame({ type: 'blob-available', hashes })
  for (const session of room.sessions) session.outbox.broadcast(message)
}

/**
 * `blob-request` (§3.2): redirects where the store can presign, unless the client prefers the socket, then always a `blob-pack` that
 * names every other hash asked for.
 */
export async function blobRequest (session: Session, room: Room, message: Of<'blob-request'>): Promise<void> {
  const asked = message.hashes.slice(0, session.server.limits.blobRequestHashes)
  const direct = session.terms.caps.supports_direct_blob_io && message.prefer !== 'ws' ? await redirect(session, room, asked) : new Set<string>()
  await sendBlobs(session, room, asked.filter((hash) => !direct.has(hash)))
}

async function redirect (session: Session, room: Room, asked: readonly string[]): Promise<Set<string>> {
  const redirects = []
  const answered = new Set<string>()
  for (const name of asked) {
    const hash = await readable(session, room, name)
    if (hash === null || !mayRedirect(session, hash)) continue
    const url = await session.server.blobs.presign('get', hash, { room: room.id, size: 0 })
    if (url === null) continue
    answered.add(name)
    redirects.push({ hash: name, url: url.url, expires_at_unix: Math.floor(url.expiresAt.getTime() / 1000) })
  }
  if (redirects.length > 0) session.send({ type: 'blob-redirect', redirects })
  return answered
}

/** A client whose download failed asks again at once: it then gets bytes, or after the third time "unavailable", never the same redirect. */
function mayRedirect (session: Session, hash: string): boolean {
  const now = session.server.clock.now()
  const last = session.redirects.get(hash)
  const recent = last !== undefined && now - last.at < REDIRECT_MS
  session.redirects.delete(hash)
  session.redirects.set(hash, recent ? { at: last.at, times: last.times + 1 } : { at: now, times: 1 })
  for (const oldest of session.redirects.keys()) {
    if (session.redirects.size <= REDIRECTS_REMEMBERED) break
    session.redirects.delete(oldest)
  }
  return !recent
}

/** The hash in its canonical form when this session may read it: blobs are scoped to the rooms that name them (design §5 row 18). */
async function readable (session: Session, room: Room, name: string): Promise<string | null> {
  const hash = canonical(name)
  if (hash === null || !(session.server.globalBlobs || room.blobs.has(hash))) return null
  try {
    await session.permit({ type: 'blob', op: 'read', hash }, 'reject.path_scope_forbidden')
    return hash
  } catch (error) {
    if (error instanceof NodalmergeError) return null
    throw error
  }
}

/** Blobs in frames of about `blobPackBytes`, each naming the part of the request it answers; the last one is sent in any case. */
async function sendBlobs (session: Session, room: Room, asked: readonly string[]): Promise<void> {
  let blobs: { hash: string, data: string }[] = []
  let requested: string[] = []
  let size = 0
  for (const name of asked) {
    const bytes = await read(session, room, name)
    requested.push(name)
    if (bytes === null) continue
    blobs.push({ hash: name, data: toBase64(bytes) })
    size += bytes.length
    if (size < session.server.limits.blobPackBytes) continue
    session.send({ type: 'blob-pack', blobs, requested })
    await session.outbox.ready()
    blobs = []
    requested = []
    size = 0
  }
  session.send({ type: 'blob-pack', blobs, requested })
}

async function read (session: Session, room: Room, name: string): Promise<Uint8Array | null> {
  const hash = await readable(session, room, name)
  const tries = hash === null ? 0 : session.redirects.get(hash)?.times ?? 0
  if (hash === null || tries > REDIRECT_TRIES) return null
  const blob = await session.server.blobs.get(hash)
  if (blob === null || blob.size > session.server.limits.blobSocketBytes) return null
  const parts: Uint8Array[] = []
  for await (const part of blob.stream) parts.push(part)
  return Buffer.concat(parts)
}

/** `request-upload` (§3.3): a URL to put the blob to, or `use-ws`. */
export async function requestUpload (session: Session, room: Room, message: Of<'request-upload'>): Promise<void> {
  const hash = gate(session, message.type, message.hash)
  await session.permit({ type: 'blob', op: 'write', hash }, 'reject.path_scope_forbidden')
  const about = { room: room.id, size: message.size, ...(message.content_type === undefined ? {} : { contentType: message.content_type }) }
  const granted = await session.server.blobs.presign('put', hash, about)
  session.send(granted === null
    ? { type: 'upload-denied', hash: message.hash, reason: 'use-ws' }
    : { type: 'upload-granted', hash: message.hash, url: granted.url, expires_at_unix: Math.floor(granted.expiresAt.getTime() / 1000) })
}

/** `blob-uploaded` (§3.4): believed only after the store has looked. */
export async function blobUploaded (session: Session, room: Room, message: Of<'blob-uploaded'>): Promise<void> {
  const hash = gate(session, message.type, message.hash)
  const found = await session.server.blobs.verifyUploaded(hash)
  if (!found.ok) return session.send({ type: 'upload-rejected', hash: message.hash, reason: found.reason })
  room.blobs.add(hash)
  announce(room, [hash])
}

/**
 * `not negotiated` only when the client did not offer direct transfers; a store that cannot presign is answered by the store (design §5
 * row 17).
 */
function gate (session: Session, type: string, name: string): string {
  if (!session.terms.offeredDirect) throw new NodalmergeError('reject.protocol_unsupported_command', `${type} not negotiated`)
  const hash = canonical(name)
  if (hash === null) throw new NodalmergeError('reject.protocol_invalid_field', `${type}: bad hash`)
  return hash
}
