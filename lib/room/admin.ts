import { NodalmergeError } from '../errors.js'
import { forbidden, requiredCapability } from '../protocol/capability.js'
import { fromHex, toHex } from '../protocol/hex.js'
import type { ClientMessage } from '../protocol/message.js'
import type { StoredPolicy } from '../store/node-store.js'
import { isPublicKey } from '../crypto/ed25519.js'
import type { Room } from './room.js'
import type { Session } from './session.js'

type Of<Type extends ClientMessage['type']> = Extract<ClientMessage, { type: Type }>

/** Whether the session may give this command; tells it when not (spec/session-protocol.md §5.0). */
async function may (session: Session, command: string): Promise<boolean> {
  const capability = requiredCapability(command)
  if (capability !== null && !session.terms.capabilities.has(capability)) {
    session.sendError(new NodalmergeError('reject.control_plane_forbidden', forbidden(command, capability)),
      { command, required_capability: capability })
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

function readPolicy (message: Of<'set-policy'>): StoredPolicy {
  if (message.default !== 'allow' && message.default !== 'deny') {
    throw invalid(`set-policy: unknown default '${String(message.default)}', use 'allow' or 'deny'`)
  }
  const rules = message.rules.map((rule) => {
    if (typeof rule.path_glob !== 'string') throw invalid("set-policy: each rule must have a 'path_glob' string")
    return { pathGlob: rule.path_glob, canWrite: rule.can_write.map(readKey), canRead: [], canDerive: [] }
  })
  return { rules, default: message.default }
}

function readKey (text: unknown): string {
  const key = fromHex(text, 32)
  if (key === null) throw invalid(`set-policy: invalid pubkey hex '${typeof text === 'string' ? text : ''}'`)
  return toHex(key)
}

function invalid (text: string): NodalmergeError {
  return new NodalmergeError('reject.protocol_invalid_field', text)
}
