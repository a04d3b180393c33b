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
    app.addHook('preClose', drain)
    return
  }
  const first = !(ANSWERED in server)
  if (first && server.listenerCount('upgrade') > 0) throw new NodalmergeError('plugin.upgrade_conflict')
  Object.assign(server, { [ANSWERED]: true })
  await app.register(websocket, {
    options: { maxPayload, ...(first ? {} : { server: new EventEmitter() as typeof server }) },
    // In place of the library's own hook, which closes sessions without a code and before their work was committed.
    preClose (done) {
      drain().finally(() => app.websocketServer.close()).then(() => done(), done)
    }
  })
  app.addHook('onReady', async () => {
    if (server.listenerCount('upgrade') > 1) throw new NodalmergeError('plugin.upgrade_conflict')
  })
}
