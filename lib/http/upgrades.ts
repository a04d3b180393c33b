import { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import websocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import { NodalmergeError } from '../errors.js'

/** Marks a server whose upgrades one of our scopes dispatches; it lies on the server, because two scopes share nothing else. */
const ANSWERED = Symbol.for('nodalmerge.upgrades')

/** Listeners of a server whose upgrades we answer: `endWithPeer` and the one of `@fastify/websocket`. */
const OURS = 2

/**
 * A refused upgrade outside of our scope is answered, but its connection is closed by nobody once the peer has left; the server would
 * wait for it for ever when it closes.
 */
function endWithPeer (_request: IncomingMessage, socket: Duplex): void {
  socket.once('end', () => socket.end())
}

/**
 * Sees to it that WebSocket routes work in this scope and that exactly one listener answers the server's upgrades.
 *
 * A host that registered `@fastify/websocket` keeps its own. Otherwise it is registered here; a second scope of ours gets the route
 * handling without a second listener, because the first one dispatches every upgrade through the common router. Somebody else's
 * listener would answer beside ours: `plugin.upgrade_conflict`.
 */
export async function acceptUpgrades (app: FastifyInstance, maxPayload: number, drain: () => Promise<void>): Promise<void> {
  const { server } = app
  if (app.hasDecorator('websocketServer')) {
    app.addHook('preClose', drain)
    return
  }
  const first = !(ANSWERED in server)
  if (first && server.listenerCount('upgrade') > 0) throw new NodalmergeError('plugin.upgrade_conflict')
  Object.assign(server, { [ANSWERED]: true })
  if (first) server.on('upgrade', endWithPeer)
  await app.register(websocket, {
    options: { maxPayload, ...(first ? {} : { server: new EventEmitter() as typeof server }) },
    errorHandler (error, socket, request) {
      // What a client does to its own connection has a code and is no error of the host's.
      request.log['code' in error ? 'debug' : 'error']({ err: error }, 'socket error')
      socket.terminate()
    },
    // In place of the library's own hook, which closes sessions without a code and before their work was committed.
    preClose (done) {
      drain().finally(() => app.websocketServer.close()).then(() => done(), done)
    }
  })
  app.addHook('onReady', async () => {
    if (server.listenerCount('upgrade') > OURS) throw new NodalmergeError('plugin.upgrade_conflict')
  })
}
