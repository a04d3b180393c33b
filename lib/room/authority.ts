import { NodalmergeError } from '../errors.js'
import { verifyOne } from '../crypto/ed25519.js'
import { fromHex } from '../protocol/hex.js'
import { type Grant, verifyToken } from '../protocol/token.js'
import { type Identity, isRefusal } from './rights.js'
import type { Hello, Server } from './server.js'

/** What a peer was found to be entitled to at hello. */
export interface Authority { identity: Identity | null, capabilities: Set<string>, expiresAt: number | null, byToken: boolean }

/**
 * Where rights come from: the host's `authenticate`, a token under the room key of a locked room, a token under the operator key;
 * never from a claim (design §5 row 5). Throws `unauthorized.*` with the text that follows `auth: `.
 */
export async function authorityOf (server: Server, room: string, hello: Hello, request: unknown): Promise<Authority> {
  const identity = await identify(server, hello, request)
  const capabilities = new Set(identity?.capabilities ?? [])
  const state = await server.rooms.state(room)
  const roomKey = state.key === null ? null : fromHex(state.key, 32)
  const token = roomKey === null ? await operatorToken(server, room, hello) : await roomToken(server, room, hello, roomKey)
  for (const capability of token?.caps ?? []) capabilities.add(capability)
  const deadlines = [identity?.expiresAt?.getTime(), token === null ? undefined : token.expiry * 1000].filter((at) => at !== undefined)
  return { identity, capabilities, expiresAt: deadlines.length === 0 ? null : Math.min(...deadlines), byToken: token !== null }
}

async function identify (server: Server, hello: Hello, request: unknown): Promise<Identity | null> {
  if (server.authenticate === null) return null
  const answer = await server.authenticate(request, hello)
  if (isRefusal(answer)) throw new NodalmergeError('unauthorized.denied', answer.refused)
  return answer
}

async function roomToken (server: Server, room: string, hello: Hello, key: Uint8Array): Promise<Grant> {
  const answer = await verifyWith(server, room, hello, key)
  if (!(answer instanceof NodalmergeError)) return answer
  const byOperator = await operatorToken(server, room, hello)
  if (byOperator === null) throw answer
  return byOperator
}

/** In an open room an operator's token gives capabilities, not admission: one that does not verify is not looked at (§5.0). */
async function operatorToken (server: Server, room: string, hello: Hello): Promise<Grant | null> {
  if (server.operatorKey === null || hello.token === undefined) return null
  const answer = await verifyWith(server, room, hello, server.operatorKey)
  return answer instanceof NodalmergeError ? null : answer
}

function verifyWith (server: Server, room: string, hello: Hello, key: Uint8Array): Promise<Grant | NodalmergeError> {
  return verifyToken(hello.token, { room, pubkey: hello.pubkey, key, now: Math.floor(server.clock.now() / 1000), verify: verifyOne })
}
