import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'

/** One connection of a client through the proxy. */
export interface Passage {
  readonly client: WebSocket
  /** Sends a frame to the client as if it were the server's: text and bytes as they are, all else as JSON. */
  say (frame: unknown): void
}

/** Stands between clients and an honest server, and does what the test has in mind. */
export interface Proxy {
  readonly url: string
  readonly passages: readonly Passage[]
  /** A client has connected; false keeps the server out of it. */
  connected: (passage: Passage) => boolean
  /** What becomes of a frame on its way to the client, and to the server: itself, another one, or nothing. */
  down: (text: string, passage: Passage) => string | null
  up: (text: string, passage: Passage) => string | null
}

export async function proxy (t: Test, to: string): Promise<Proxy> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false, maxPayload: 2 ** 30 })
  await once(server, 'listening')
  const passages: Passage[] = []
  const self: Proxy = {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    passages,
    connected: () => true,
    down: (text) => text,
    up: (text) => text
  }
  server.on('connection', (client, { url }) => {
    const passage: Passage = {
      client,
      say (frame) { if (client.readyState === client.OPEN) client.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame)) }
    }
    passages.push(passage)
    client.on('error', () => {})
    if (self.connected(passage)) pipe(self, passage, new WebSocket(to + url, { perMessageDeflate: false }))
  })
  t.teardown(async () => {
    for (const { client } of passages) client.terminate()
    server.close()
    await once(server, 'close')
  })
  return self
}

function pipe (self: Proxy, passage: Passage, server: WebSocket): void {
  const { client } = passage
  const waiting: string[] = []
  client.on('message', (data) => {
    const text = self.up(String(data), passage)
    if (text === null) return
    if (server.readyState === WebSocket.CONNECTING) waiting.push(text)
    else if (server.readyState === WebSocket.OPEN) server.send(text)
  })
  server.on('open', () => { for (const text of waiting) server.send(text) })
  server.on('message', (data) => {
    const text = self.down(String(data), passage)
    if (text !== null) passage.say(text)
  })
  server.on('error', () => {})
  server.on('close', (code, reason) => {
    if (code === 1005 || code === 1006) client.terminate()
    else client.close(code, String(reason))
  })
  client.on('close', () => { server.close() })
}
