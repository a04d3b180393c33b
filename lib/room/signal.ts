import type { ClientMessage } from '../protocol/message.js'
import { frame } from './frame.js'
import type { Room } from './room.js'
import type { Session } from './session.js'

/**
 * WebRTC signalling (spec/session-protocol.md §4.2): the message goes on with every field as it came and `from` set by the server, to
 * the addressed peer when it names one, otherwise to everybody else.
 */
export function signal (session: Session, room: Room, message: Extract<ClientMessage, { type: `webrtc-${string}` }>): void {
  const { to } = message
  const encoded = frame({ ...message, from: session.peer.pubkey })
  for (const other of room.sessions) {
    if (other === session) continue
    if (typeof to !== 'string' || other.peer.pubkey === to || other.peer.peerId === to) other.outbox.broadcast(encoded)
  }
}
