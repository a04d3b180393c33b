import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'

/** A server under test: where it listens and how to end it. */
export interface Listening { port: number, close (): Promise<void> }

/** The rival: a `ws` server that passes every frame on to the other sockets of the same path and does nothing else. */
export async function startPlain (): Promise<Listening> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, maxPayload: 64 << 20 })
  const rooms = new Map<string, Set<WebSocket>>()
  server.on('connection', (socket, request) => {
    const path = request.url ?? ''
    const room = rooms.get(path) ?? new Set()
    rooms.set(path, room.add(socket))
    socket.on('message', (data: RawData, binary: boolean) => {
      for (const other of room) if (other !== socket) other.send(data, { binary })
    })
    socket.on('close', () => { room.delete(socket) })
    // A load generator that goes away resets its connections.
    socket.on('error', () => {})
  })
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async close () {
      for (const socket of server.clients) socket.terminate()
      server.close()
      await once(server, 'close')
    }
  }
}
