import { WebSocket } from 'ws'
import { type Presigned, presigning, startServer } from '../peer/server.js'
import type { MakeArena } from './arena.js'

/** The plugin, listening on this machine, reached over real sockets. */
export function pluginArena (): MakeArena {
  return async (options = {}) => {
    const presigned: Presigned = {}
    if (options.redirect !== undefined) presigned.get = options.redirect
    if (options.grant !== undefined) presigned.put = options.grant
    const direct = Object.keys(presigned).length > 0
    const server = await startServer(direct ? { blobs: presigning(presigned) } : {})
    return { url: server.url, open: (url) => new WebSocket(url), drop: server.drop, close: server.close }
  }
}
