import { NodalmergeError } from '../errors.js'
import { checkCommand, requiredCapability } from '../protocol/capability.js'
import { fromHex, toHex } from '../protocol/hex.js'
import type { ClientMessage } from '../protocol/message.js'
import { readPolicy } from '../protocol/policy.js'
import { isPublicKey } from '../crypto/ed25519.js'
import type { Room } from './room.js'
import type { Session } from './session.js'

type Of<Type extends ClientMessage['type']> = Extract<ClientMessage, { type: Type }>

/** Whether the session may give this command; tells it when not (spec/session-protocol.md §5.0). */
async function may (session: Session, command: string): Promise<boolean> {
  const refusal = checkCommand(command, session.terms.capabilities)
  if (refusal !== null) {
    session.sendError(refusal, { command, required_capability: requiredCapability(command) })
    return false
  }
  await session.permit({ type: 'command', command }, 'reject.control_plane_forbidden')
  return true
}

/** `set-room-key` (§5.1). The lock is durable before it is confirmed (design §5 row 7). */
export async function setRoomKey (session: Session, room: Room, message: Of<'set-room-key'>): Promise<void> {
  if (!await may(session, message.type)) return
  const key = fromHex(message.pubkey, 32)
  if (key === null || !isPublicKey(key)) throw new NodalmergeError('reject.protocol_invalid_field', 'set-room-key: invalid pubkey hex')
  await room.lock(toHex(key))
  session.send({ type: 'room-locked', pubkey: message.pubkey })
}

/** `set-policy` (§5.2): replaces the write policy for what comes; durable before it is confirmed. */
export async function setPolicy (session: Session, room: Room, message: Of<'set-policy'>): Promise<void> {
  if (!await may(session, message.type)) return
  await room.setPolicy(readPolicy(message))
  session.send({ type: 'policy-set' })
}
