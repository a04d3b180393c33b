import type { Socket } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import nodalmerge, { type BlobStore, type NodalmergeOptions, memoryBlobs } from '../../lib/index.js'

export interface TestServer {
  app: FastifyInstance
  /** Origin with scheme `ws:`, for sockets. */
  url: string
  /** Origin with scheme `http:`. */
  http: string
  /** Ends every connection without a close frame. */
  drop (): void
  close (): Promise<void>
}

/** Where presigned requests are sent, by operation; an operation that is absent is not presigned. */
export interface Presigned { get?: string, put?: string }

/** Starts the plugin on a free port of this machine. In memory unless the options say otherwise. */
export async function startServer (options: NodalmergeOptions = {}): Promise<TestServer> {
  const app = Fastify()
  const connections = new Set<Socket>()
  app.server.on('connection', (socket) => {
    connections.add(socket)
    socket.on('close', () => { connections.delete(socket) })
  })
  await app.register(nodalmerge, options)
  const http = await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    app,
    url: http.replace('http', 'ws'),
    http,
    drop () { for (const socket of connections) socket.destroy() },
    close: async () => { await app.close() }
  }
}

/** A memory store that hands out addresses of somebody else's making: what an object store does. */
export function presigning (to: Presigned): BlobStore {
  const store = memoryBlobs()
  return {
    ...store,
    manifest: { ...store.manifest, presign: true },
    presign (op, hash) {
      const base = to[op]
      return Promise.resolve(base === undefined ? null : { url: `${base}/${hash}`, expiresAt: new Date(Date.now() + 3_600_000) })
    }
  }
}
