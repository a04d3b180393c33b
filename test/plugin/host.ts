import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import nodalmerge, { type NodalmergeOptions } from '../../lib/index.js'
import { loadBlake3 } from '../../lib/protocol/blake3-wasm.js'
import type { Op } from '../../lib/protocol/op.js'
import { type ConnectOptions, type PeerConnection, connectPeer } from '../../lib/testing/connection.js'
import { type Peer, type PeerOptions, createPeer } from '../../lib/testing/peer.js'
import { type Raw, connectRaw } from './raw.js'

export const blake3 = await loadBlake3([])

export interface LogLine { level: number, msg: string, code?: string, err?: { code?: string, message: string } }

/** A backend that has the plugin and listens on the loopback interface. */
export interface Host {
  readonly app: FastifyInstance
  /** `ws://127.0.0.1:port` */
  readonly url: string
  readonly log: LogLine[]
  /** A bare socket to a path. */
  raw (path?: string): Raw
  /** An honest peer's connection to a room. */
  join (room: string, peer: Peer, options?: Partial<ConnectOptions>): PeerConnection
}

/** A Fastify whose log is kept; it is closed when the test ends. */
export function backend (t: Test, options: FastifyServerOptions = {}): { app: FastifyInstance, log: LogLine[] } {
  const log: LogLine[] = []
  const stream = { write (line: string) { log.push(JSON.parse(line) as LogLine) } }
  const app = Fastify({ logger: { level: 'debug', stream }, ...options }) as unknown as FastifyInstance
  t.teardown(() => app.close())
  return { app, log }
}

/** Registers the plugin, with rate limits off unless the test sets some, and listens. */
export async function host (t: Test, options: NodalmergeOptions = {}): Promise<Host> {
  const { app, log } = backend(t)
  await app.register(nodalmerge, { verifyThreads: 1, ...options, limits: { ...UNMETERED, ...options.limits } })
  return listen(app, log)
}

/** Limits that many small tests in one second would trip over. */
export const UNMETERED = { nodesPerSecond: 0, bytesPerSecond: 0, messagesPerSecond: 0, readsPerSecond: 0 }

export async function listen (app: FastifyInstance, log: LogLine[] = []): Promise<Host> {
  const url = (await app.listen({ port: 0, host: '127.0.0.1' })).replace('http', 'ws')
  return {
    app,
    url,
    log,
    raw: (path = '/ws/plans') => connectRaw(url + path),
    join: (room, peer, more = {}) => joinAt(`${url}/ws/${encodeURIComponent(room)}`, room, peer, more)
  }
}

export function joinAt (url: string, room: string, peer: Peer, more: Partial<ConnectOptions> = {}): PeerConnection {
  return connectPeer({ peer, room, open: () => new WebSocket(url, { perMessageDeflate: false }), ...more })
}

/** A peer of its own key; the same seed gives the same peer. */
export function peer (seed: number, options: Partial<PeerOptions> = {}): Peer {
  const bytes = Buffer.alloc(32)
  bytes.writeUInt32LE(seed + 1)
  return createPeer({ blake3, seed: bytes, ...options })
}

export function set (key: string, value = 'v'): Op[] {
  return [{ type: 'map-set', key, value: Buffer.from(value) }]
}

/** A pack message around encoded nodes. */
export function packOf (nodes: Uint8Array, fields: object = {}): object {
  return { type: 'pack', nodes: Buffer.from(nodes).toString('base64'), ...fields }
}

/** Park and Miller's generator: the same numbers for the same seed. */
export function seeded (seed: number): (below: number) => number {
  let state = seed % 2_147_483_646 + 1
  return (below) => {
    state = state * 48_271 % 2_147_483_647
    return state % below
  }
}
