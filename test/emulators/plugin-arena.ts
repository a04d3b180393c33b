import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { type Presigned, type TestServer, presigning, startServer } from '../peer/server.js'
import type { MakeArena } from './arena.js'

/**
 * The plugin, listening on this machine, reached over real sockets. Cases without options of their own share one server, each in its
 * own room.
 */
export function pluginArena (t: Test): MakeArena {
  let shared: Promise<TestServer> | null = null
  t.teardown(async () => { await (await shared)?.close() })
  return async (options = {}) => {
    const presigned: Presigned = {}
    if (options.redirect !== undefined) presigned.get = options.redirect
    if (options.grant !== undefined) presigned.put = options.grant
    const own = Object.keys(presigned).length > 0
    const server = await (own ? startServer({ blobs: presigning(presigned) }) : shared ??= startServer())
    const close = async (): Promise<void> => { if (own) await server.close() }
    return { url: server.url, open: (url) => new WebSocket(url), drop: server.drop, close }
  }
}
