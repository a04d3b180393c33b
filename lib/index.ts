import { join } from 'node:path'
import fp from 'fastify-plugin'
import type { FastifyInstance, FastifyPluginAsync, RegisterOptions } from 'fastify'
import { IBF_KEYS } from './dag/ibf.js'
import { MST_KEYS } from './dag/mst-hash.js'
import { createSigner, generateSeed } from './crypto/ed25519.js'
import { loadSeed } from './crypto/key.js'
import { createVerifier } from './crypto/verifier.js'
import { blobRoutes } from './http/blobs.js'
import { socketRoutes } from './http/socket.js'
import { acceptUpgrades } from './http/upgrades.js'
import { type NodalmergeOptions, type ParsedOptions, parseOptions } from './options.js'
import { loadBlake3 } from './protocol/blake3-wasm.js'
import { fromHex } from './protocol/hex.js'
import { systemClock } from './clock.js'
import { createCommitter } from './room/commit.js'
import { type RoomHandle, createHandle } from './room/handle.js'
import { createPatience } from './room/patience.js'
import { createQuotas } from './room/quota.js'
import { createRooms } from './room/rooms.js'
import type { Server } from './room/server.js'
import { createTurn } from './room/turn.js'
import type { BlobStore } from './store/blob-store.js'
import { fsBlobs } from './store/fs.js'
import { levelNodes } from './store/level.js'
import { memoryBlobs } from './store/memory-blobs.js'
import { memoryNodes } from './store/memory-nodes.js'

/** `fastify.nodalmerge`. */
export interface Nodalmerge {
  /** A room by id; nothing is loaded before it is used. */
  room (id: string): RoomHandle
  /** Ids of every room with content, resident or not. */
  rooms (): AsyncIterable<string>
  readonly blobs: BlobStore
  /** The server's Ed25519 public key, 32 bytes. */
  readonly publicKey: Uint8Array
  /** Commits what is under way, then ends every session with 1012. Called by itself when Fastify closes. */
  drain (): Promise<void>
}

declare module 'fastify' {
  interface FastifyInstance { nodalmerge: Nodalmerge }
}

const plugin: FastifyPluginAsync<NodalmergeOptions> = async (app, given) => {
  // What Fastify takes for itself at a registration.
  const { logLevel, logSerializers, ...own } = given as NodalmergeOptions & RegisterOptions
  const options = parseOptions(own)
  const server = await createServer(app, options)
  await server.store.open()
  await server.blobs.open()
  const drain = (): Promise<void> => server.rooms.drain()
  await acceptUpgrades(app, options.limits.messageBytes, drain)
  app.decorate('nodalmerge', Object.freeze(decorator(server, drain)))
  app.addHook('onClose', async () => {
    await server.verifier.close()
    await server.store.close()
    await server.blobs.close()
  })
  await app.register(async (scope) => {
    socketRoutes(scope, server.rooms)
    if (options.blobsHttp !== false) await scope.register(blobRoutes, { store: server.blobs, maxBytes: options.limits.blobHttpBytes, ...options.blobsHttp })
  }, { prefix: options.prefix ?? '', ...(logLevel === undefined ? {} : { logLevel }), ...(logSerializers === undefined ? {} : { logSerializers }) })
}

async function createServer (app: FastifyInstance, options: ParsedOptions): Promise<Server> {
  const { data, limits } = options
  if (data === undefined && (options.nodes === undefined || options.blobs === undefined)) {
    app.log.warn('nodalmerge keeps its data in memory: set the option `data`, or `nodes` and `blobs`, to keep it')
  }
  const store = options.nodes ?? (data === undefined ? memoryNodes() : levelNodes({ path: join(data, 'nodes') }))
  const server: Omit<Server, 'rooms'> = {
    blake3: await loadBlake3([...IBF_KEYS, ...MST_KEYS]),
    verifier: createVerifier(options.verifyThreads === undefined ? {} : { threads: options.verifyThreads }),
    signer: createSigner(await seedOf(options)),
    store,
    blobs: options.blobs ?? (data === undefined ? memoryBlobs() : fsBlobs({ root: join(data, 'blobs'), log: app.log })),
    committer: createCommitter(store, limits.commitBytes),
    clock: systemClock,
    turn: createTurn(),
    limits,
    log: app.log,
    quotas: createQuotas(limits, systemClock.now),
    patience: createPatience(0),
    source: { label: 'server', session: null, charge () {}, objection: () => null },
    relaxed: options.durability === 'relaxed',
    globalBlobs: options.readScope === 'global',
    operatorKey: bytesOf(options.operatorKey),
    authenticate: (options.authenticate ?? null) as Server['authenticate'],
    authorize: options.authorize ?? null
  }
  return Object.assign(server, { rooms: createRooms(server as Server) })
}

async function seedOf ({ key, data }: ParsedOptions): Promise<Uint8Array> {
  return bytesOf(key) ?? (data === undefined ? generateSeed() : await loadSeed(data))
}

function bytesOf (value: Uint8Array | string | undefined): Uint8Array | null {
  return value === undefined ? null : typeof value === 'string' ? fromHex(value, 32) : value
}

function decorator (server: Server, drain: () => Promise<void>): Nodalmerge {
  return {
    room: (id: unknown) => createHandle(server, id),
    async * rooms () {
      for await (const { room } of server.store.rooms()) yield room
    },
    blobs: server.blobs,
    get publicKey () { return server.signer.publicKey.slice() },
    drain
  }
}

export default fp(plugin, { fastify: '5.x', name: 'nodalmerge' })

export { levelNodes, memoryNodes, memoryBlobs, fsBlobs, createSigner }
export { NodalmergeError, REASONS, type Code } from './errors.js'
export type { NodalmergeOptions, RoomHandle }
export type { WritePolicy } from './room/handle.js'
export type { Action, Asker, Identity, Refusal } from './room/rights.js'
export type { Op } from './protocol/op.js'
export type { BlobStore } from './store/blob-store.js'
export type { NodeStore } from './store/node-store.js'
