import { once } from 'node:events'
import { request, type IncomingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import { blobRoutes, type BlobRoutesOptions } from '../../lib/http/blobs.js'

export interface Answer { status: number, headers: IncomingHttpHeaders, body: Buffer }
export interface Ask { method?: string, path: string, headers?: Record<string, string>, body?: Uint8Array, chunked?: boolean }

interface Teardown { teardown (fn: () => Promise<unknown>): void }

/** A server with the blob routes, listening on a free port. */
export async function serve (t: Teardown, options: BlobRoutesOptions, logs: object[] = []): Promise<{ app: FastifyInstance, port: number, ask (ask: Ask): Promise<Answer> }> {
  const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { logs.push(JSON.parse(line) as object) } } } })
  await app.register(blobRoutes, options)
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(() => app.close())
  const { port } = app.server.address() as AddressInfo
  return { app, port, ask: (ask) => send(port, ask) }
}

async function send (port: number, { method = 'GET', path, headers = {}, body, chunked = false }: Ask): Promise<Answer> {
  const length = body === undefined || chunked ? {} : { 'content-length': String(body.length) }
  const req = request({ port, host: '127.0.0.1', method, path, headers: { ...length, ...headers }, agent: false })
  if (body !== undefined && chunked) req.write(body)
  req.end(chunked ? undefined : body)
  const [res] = await once(req, 'response') as [AsyncIterable<Buffer> & { statusCode: number, headers: IncomingHttpHeaders }]
  const parts: Buffer[] = []
  for await (const part of res) parts.push(part)
  return { status: res.statusCode, headers: res.headers, body: Buffer.concat(parts) }
}

/** A bare connection, for what a proper client would not do. */
export interface Wire {
  write (data: string | Uint8Array): void
  /** Waits until what has arrived matches, and returns it; what was returned before is forgotten. */
  until (pattern: RegExp): Promise<string>
  /** Resolves when the server has closed the connection. */
  closed: Promise<unknown>
  destroy (): void
  pause (): void
}

export async function wire (t: Teardown, port: number): Promise<Wire> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  t.teardown(async () => { socket.destroy() })
  // A reset is one of the ways in which a server may close; the tests wait for `closed`.
  socket.on('error', () => {})
  let text = ''
  let notify = (): void => {}
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
    notify()
  })
  socket.on('close', () => notify())
  return {
    write: (data) => { socket.write(data) },
    async until (pattern) {
      while (!pattern.test(text)) {
        if (socket.destroyed) throw new Error(`the server closed the connection after: ${text}`)
        await new Promise<void>((resolve) => { notify = resolve })
      }
      const seen = text
      text = ''
      return seen
    },
    closed: new Promise((resolve) => { socket.on('close', resolve) }),
    destroy: () => { socket.destroy() },
    pause: () => { socket.pause() }
  }
}
