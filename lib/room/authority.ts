import { NodalmergeError } from '../errors.js'
import { verifyOne } from '../crypto/ed25519.js'
import { fromHex } from '../protocol/hex.js'
import { verifyToken } from '../protocol/token.js'
import { type Identity, isRefusal } from './rights.js'
import type { Hello, Server } from './server.js'

/** What a peer was found to be entitled to at hello. */
export interface Authority { identity: Identity | null, capabilities: Set<string>, expiresAt: number | null }

/**
 * Where rights come from: the host's `authenticate`, a token under the room key of a locked room, a token under the operator key;
 * never from a claim (design §5 row 5). Throws `unauthorized.*` with the text that follows `auth: `.
 */
export async function authorityOf (server: Server, room: string, hello: Hello, request: unknown): Promise<Authority> {
  const identity = await identify(server, hello, request)
  const capabilities = new Set(identity?.capabilities ?? [])
  const state = await server.rooms.state(room)
  const roomKey = state.key === null ? null : fromHex(state.key, 32)
  const token = roomKey === null ? operatorToken(server, room, hello) : roomToken(server, room, hello, roomKey)
  for (const capability of token?.caps ?? []) capabilities.add(capability)
  const deadlines = [identity?.expiresAt?.getTime(), token === null ? undefined : token.expiry * 1000].filter((at) => at !== undefined)
  return { identity, capabilities, expiresAt: deadlines.length === 0 ? null : Math.min(...deadlines) }
}

async function identify (server: Server, hello: Hello, request: unknown): Promise<Identity | null> {
  if (server.authenticate === null) return null
  const answer = await server.authenticate(request, hello)
  if (isRefusal(answer)) throw new NodalmergeError('unauthorized.denied', answer.refused)
  return answer
}

interface Granted { caps: readonly string[], expiry: number }

function roomToken (server: Server, room: string, hello: Hello, key: Uint8Array): Granted {
  try {
    return verifyWith(server, room, hello, key)
  } catch (refusal) {
    const byOperator = operatorToken(server, room, hello)
    if (byOperator !== null) return byOperator
    throw refusal
  }
}

/** In an open room an operator's token gives capabilities, not admission: one that does not verify is not looked at (§5.0). */
function operatorToken (server: Server, room: string, hello: Hello): Granted | null {
  if (server.operatorKey === null || hello.token === undefined) return null
  try {
    return verifyWith(server, room, hello, server.operatorKey)
  } catch {
    return null
  }
}

function verifyWith (server: Server, room: string, hello: Hello, roomKey: Uint8Array): Granted {
  return verifyToken({ token: hello.token, room, roomKey, pubkey: hello.pubkey, nowMs: server.clock.now(), verify: verifyOne })
}
