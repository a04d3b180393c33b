import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { type Doc, type DocOptions, createDoc } from '../../lib/client/index.js'
import type { WebSocketClass, WebSocketLike } from '../../lib/client/socket.js'
import { type Clock, systemClock } from '../../lib/clock.js'
import { loadBlake3 } from '../../lib/protocol/blake3-wasm.js'
import { readPolicy } from '../../lib/protocol/policy.js'
import { type DClient, type DOptions, createDClient } from '../emulators/d-client.js'
import { IBF_KEYS } from '../emulators/ibf32.js'
import { MST_KEYS } from '../emulators/mst.js'
import { type RClient, createRClient } from '../emulators/r-client.js'
import { createTimers } from '../emulators/wire.js'
import { host } from '../plugin/host.js'
import { createOriginalServer } from './original-server.js'

const blake3 = await loadBlake3([...IBF_KEYS, ...MST_KEYS])

/** A server of one kind, and clients of all kinds for it. */
export interface Arena {
  readonly name: 'ours' | 'original'
  doc (options: Partial<DocOptions> & { room: string }): Promise<Doc>
  d (room: string, options?: Partial<DOptions>): DClient
  r (room: string): RClient
  /** Ids of everything the room holds, in hexadecimal, ascending. */
  ids (room: string): Promise<string[]>
  /** From now on nobody may write these keys. */
  deny (room: string, glob: string): Promise<void>
  /** Characters that documents have sent and received, and the packs they sent. */
  readonly traffic: { up: number, down: number, packs: number }
}

interface Place { url: string, open: (url: string) => WebSocketLike, clock: Clock, ids: Arena['ids'], deny: Arena['deny'] }

/** Runs a test against our server and against an emulated original one, whose time runs fifty times faster. */
export function everywhere (t: Test, title: string, run: (t: Test, arena: Arena) => Promise<void>): void {
  t.test(`${title}, ours`, async (t) => { await run(t, arena(t, 'ours', await ours(t))) })
  t.test(`${title}, original`, async (t) => { await run(t, arena(t, 'original', original(t))) })
}

async function ours (t: Test): Promise<Place> {
  const { url, app } = await host(t)
  return {
    url,
    open: (to) => new WebSocket(to, { perMessageDeflate: false }) as unknown as WebSocketLike,
    clock: systemClock,
    async ids (room) {
      const ids: string[] = []
      for await (const { id } of app.nodalmerge.room(room).nodes()) ids.push(Buffer.from(id).toString('hex'))
      return ids.sort()
    },
    deny: (room, path) => app.nodalmerge.room(room).setPolicy({ rules: [{ path, write: [] }] })
  }
}

function original (t: Test): Place {
  // Nothing here is a socket, and timers of the library keep no process alive.
  const awake = setInterval(() => {}, 1000)
  t.teardown(() => { clearInterval(awake) })
  const clock = fastClock(50)
  const server = createOriginalServer({ blake3, clock, deliver: setImmediate })
  return {
    url: 'ws://original',
    open: server.open,
    clock,
    ids: async (room) => server.room(room).ids().sort(),
    async deny (room, glob) { server.setPolicy(room, readPolicy({ type: 'set-policy', default: 'allow', rules: [{ path_glob: glob, can_write: [] }] })) }
  }
}

function fastClock (speed: number): Clock {
  const start = Date.now()
  return { now: () => start + (Date.now() - start) * speed, after: (ms, run) => systemClock.after(ms / speed, run) }
}

function arena (t: Test, name: Arena['name'], { url, open, clock, ids, deny }: Place): Arena {
  const traffic = { up: 0, down: 0, packs: 0 }
  const timers = createTimers(0.01)
  const Socket = class {
    constructor (to: string) {
      const socket = open(to)
      return {
        get readyState () { return socket.readyState },
        send (text: string) {
          traffic.up += text.length
          if (text.startsWith('{"type":"pack"')) traffic.packs++
          socket.send(text)
        },
        close: (code?: number, reason?: string) => { socket.close(code, reason) },
        addEventListener (type: 'message', listen: (event: { data: unknown }) => void) {
          socket.addEventListener(type, (event) => {
            if (typeof event.data === 'string') traffic.down += event.data.length
            listen(event)
          })
        }
      }
    }
  } as unknown as WebSocketClass
  return {
    name,
    traffic,
    ids,
    deny,
    async doc (options) {
      const doc = await createDoc({ url, webSocket: Socket, clock, flushMs: 2, ...options })
      t.teardown(() => doc.close())
      return doc
    },
    d (room, options) {
      const client = createDClient({ blake3, serverUrl: url, room, open, clock: timers, ...options })
      t.teardown(() => { client.disconnect() })
      return client
    },
    r (room) {
      const client = createRClient({ blake3, wsUrl: `${url}/ws/${encodeURIComponent(room)}`, roomId: room, open, clock: timers })
      t.teardown(() => { client.disconnect() })
      return client
    }
  }
}
