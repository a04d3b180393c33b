import { EventEmitter } from 'node:events'
import websocket from '@fastify/websocket'
import type { FastifyInstance } from 'fastify'
import { NodalmergeError } from '../errors.js'

/** Marks a server whose upgrades one of our scopes dispatches; it lies on the server, because two scopes share nothing else. */
const ANSWERED = Symbol.for('nodalmerge.upgrades')

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
    app.addHook('preClose', async () => {
      endLateUpgrades(server)
      await drain()
    })
    return
  }
  const first = !(ANSWERED in server)
  if (first && server.listenerCount('upgrade') > 0) throw new NodalmergeError('plugin.upgrade_conflict')
  Object.assign(server, { [ANSWERED]: true })
  await app.register(websocket, {
    options: { maxPayload, ...(first ? {} : { server: new EventEmitter() as typeof server }) },
    preClose (done) {
      endLateUpgrades(server)
      drain().then(() => this.websocketServer.close(), done).finally(() => done())
    }
  })
  app.addHook('onReady', async () => {
    if (server.listenerCount('upgrade') > 1) throw new NodalmergeError('plugin.upgrade_conflict')
  })
}

/**
 * While it closes, Fastify answers every request with 503 before any hook runs, and nobody ends the socket of an upgrade that is
 * answered like that: the server would wait for it for ever.
 */
function endLateUpgrades (server: FastifyInstance['server']): void {
  server.on('upgrade', (_request, socket) => { socket.end(() => socket.destroy()) })
}
