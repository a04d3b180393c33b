import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { RawData, WebSocket } from 'ws'
import type { Session } from '../room/session.js'
import type { Socket } from '../room/outbox.js'
import type { Rooms } from '../room/rooms.js'
import { RUNTIME_ROOM } from '../room/handshake.js'
import { type WireFrames, createWireFrames } from './wire-frame.js'

/** The stream below a WebSocket. */
interface Stream {
  write (bytes: Uint8Array, written?: (error?: Error | null) => void): boolean
  cork (): void
  uncork (): void
}

/** `GET /ws/:room` (spec/session-protocol.md §1.1). A wildcard route, because a parameter is limited to 100 characters. */
export function socketRoutes (app: FastifyInstance, rooms: Rooms): void {
  const frames = createWireFrames()
  app.route({
    method: 'GET',
    url: '/ws/*',
    exposeHeadRoute: false,
    preValidation: async (request, reply) => {
      if (roomOf(request) === null) return reply.code(404).send({ error: 'not found' })
    },
    handler: async (_request, reply) => reply.code(426).header('upgrade', 'websocket').send({ error: 'upgrade required' }),
    wsHandler: (socket, request) => {
      // A host's own `@fastify/websocket` closes every client it knows before we are asked to drain; ours we close ourselves, with a code.
      app.websocketServer.clients.delete(socket)
      attach(rooms, adapt(socket, frames), socket, request)
    }
  })
}

/**
 * The room named by the path: one raw segment, decoded once, or null. Read from the raw URL, because the router's own decoding cannot
 * tell `a/b` from `a%2Fb`; what cannot be decoded the router has refused.
 */
function roomOf (request: FastifyRequest): string | null {
  const base = String(request.routeOptions.url).slice(0, -1)
  const [path] = String(request.raw.url).split('?', 1)
  const segment = path.slice(base.length)
  return !path.startsWith(base) || segment === '' || segment.includes('/') ? null : decodeURIComponent(segment)
}

/** Listeners are attached before anything is awaited, so no frame is lost. */
function attach (rooms: Rooms, adapted: Socket, socket: WebSocket, request: FastifyRequest): void {
  const room = roomOf(request)
  const session: Session = rooms.connect(adapted, { room: room === RUNTIME_ROOM ? null : room, address: request.ip, request })
  socket.on('message', (data: RawData, binary: boolean) => {
    if (binary) session.receiveBinary()
    else session.receive((data as Buffer).toString())
  })
  socket.on('pong', () => session.alive())
  socket.on('close', () => session.ended())
  socket.on('error', (error) => request.log.debug({ err: error }, 'socket error'))
}

function adapt (socket: WebSocket, frames: WireFrames): Socket {
  return {
    send: createSend(socket, frames),
    close: (code, reason) => socket.close(code, reason),
    terminate: () => socket.terminate(),
    ping: () => socket.ping(),
    pause: () => socket.pause(),
    resume: () => socket.resume()
  }
}

/**
 * Several frames as one write. The library gives no access to its stream, through which frames go out that were made once for many
 * sockets; it writes its own (pings, the close) whole and at once, unless messages are compressed: then everything goes through it.
 */
function createSend (socket: WebSocket, frames: WireFrames): Socket['send'] {
  const stream = (socket as unknown as { _socket: Stream })._socket
  const compressed = socket.extensions.includes('permessage-deflate')

  /** The stream says null where it means no error. */
  function put (message: Uint8Array, written?: (error?: Error | null) => void): void {
    const frame = compressed || socket.readyState !== socket.OPEN ? null : frames.of(message)
    if (frame === null) socket.send(message, { binary: false }, written)
    else stream.write(frame, written)
  }

  return (messages, written) => {
    const last = messages.length - 1
    if (last > 0) stream.cork()
    for (let i = 0; i < last; i++) put(messages[i])
    put(messages[last], (error) => written(error ?? undefined))
    if (last > 0) stream.uncork()
  }
}
