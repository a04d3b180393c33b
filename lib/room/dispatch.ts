import { NodalmergeError } from '../errors.js'
import { fromBase64 } from '../protocol/base64.js'
import type { ClientMessage } from '../protocol/message.js'
import { toHex } from '../protocol/hex.js'
import { acknowledge } from './acknowledge.js'
import { setPolicy, setRoomKey } from './admin.js'
import { blobRequest, blobUpload, blobUploaded, requestUpload } from './blobs.js'
import { mstDone, mstRequest, request, subscribe } from './history.js'
import type { Room } from './room.js'
import type { Session } from './session.js'
import { signal } from './signal.js'

type Of<Type extends ClientMessage['type']> = Extract<ClientMessage, { type: Type }>
type Handlers = { [Type in ClientMessage['type']]: (session: Session, room: Room, message: Of<Type>) => Promise<void> | void }

/** What each message of a live session does (spec/session-protocol.md §7). */
const HANDLERS: Handlers = {
  // There is no second hello (§1.2).
  hello: () => {},
  pack,
  request,
  'mst-request': mstRequest,
  'mst-done': mstDone,
  subscribe,
  'blob-upload': blobUpload,
  'blob-request': blobRequest,
  'request-upload': requestUpload,
  'blob-uploaded': blobUploaded,
  presence: (session, room, message) => presence(session, room, message, false),
  'presence-set': (session, room, message) => presence(session, room, message, true),
  'presence-get': (session, room) => session.send({ type: 'presence-snapshot', room: room.id, entries: room.presence.entries() }),
  // Leases run by the server's clock: what the client says of the time sweeps nobody (§4.1).
  'presence-sweep': (session, room) => room.presence.expire(session.server.clock.now()),
  'webrtc-offer': signal,
  'webrtc-answer': signal,
  'webrtc-ice': signal,
  'set-room-key': setRoomKey,
  'set-policy': setPolicy,
  'server-info': (session) => session.send({ type: 'server-info', pubkey: toHex(session.server.signer.publicKey) })
}

export async function dispatch (session: Session, message: ClientMessage): Promise<void> {
  const handler = HANDLERS[message.type] as (session: Session, room: Room, message: ClientMessage) => Promise<void> | void
  await handler(session, session.terms.room, message)
}

/** The empty pack, which original clients send in numbers (spec/client.md §5.6), costs nothing and says nothing. */
const EMPTY = 'AA=='

async function pack (session: Session, room: Room, message: Of<'pack'>): Promise<void> {
  if (message.nodes === EMPTY && message.id === undefined) return
  const verdict = await room.accept(fromBase64(message.nodes), session.source, session.lane)
  if (session.phase !== 'closed') acknowledge(session, verdict, message.id)
}

function presence (session: Session, room: Room, message: Of<'presence' | 'presence-set'>, named: boolean): void {
  if (JSON.stringify(message.data).length > session.server.limits.presenceBytes) {
    throw new NodalmergeError('reject.protocol_message_too_large')
  }
  room.presence.set(session, { data: message.data, ttlMs: message.ttl_ms ?? null }, named)
}
