import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { type Doc, createDoc } from '../../lib/client/doc.js'
import type { DocOptions } from '../../lib/client/options.js'
import type { WebSocketClass } from '../../lib/client/socket.js'
import type { Status } from '../../lib/client/status.js'
import { createWatch } from '../../lib/testing/watch.js'

/** A way to a server that the test can cut and listen to. */
export interface Wire {
  readonly Socket: WebSocketClass
  /** Frames for which it answers false never leave, or never arrive. */
  out: (text: string) => boolean
  into: (text: string) => boolean
  readonly sent: Record<string, unknown>[]
  readonly sockets: readonly WebSocket[]
  /** Ends all connections without a close frame. */
  cut (): void
}

export function wire (): Wire {
  const sockets: WebSocket[] = []
  const self: Wire = {
    out: () => true,
    into: () => true,
    sent: [],
    sockets,
    cut () { for (const socket of sockets) socket.terminate() },
    Socket: class {
      constructor (url: string) {
        const socket = new WebSocket(url, { perMessageDeflate: false })
        const send = socket.send.bind(socket) as (text: string) => void
        const add = socket.addEventListener.bind(socket) as (type: string, listen: unknown) => void
        sockets.push(socket)
        return Object.assign(socket, {
          send (text: string) {
            self.sent.push(JSON.parse(text) as Record<string, unknown>)
            if (self.out(text)) send(text)
          },
          addEventListener (type: string, listen: (event: { data: unknown }) => void) {
            add(type, type !== 'message' ? listen : (event: { data: unknown }) => { if (self.into(String(event.data))) listen(event) })
          }
        })
      }
    } as unknown as WebSocketClass
  }
  return self
}

/** Hears of faults nobody listens to, silently. */
export const QUIET = { warn () {} }

/** A document that is closed when the test ends. It comes back quickly after a connection ended. */
export async function open (t: Test, options: DocOptions): Promise<Doc> {
  const doc = await createDoc({ logger: QUIET, reconnect: { minMs: 10, maxMs: 100, jitter: 0 }, ...options })
  t.teardown(() => doc.close())
  return doc
}

/** Resolves once the status is as wanted. */
export async function untilStatus (doc: Doc, look: (status: Status) => boolean): Promise<Status> {
  const watch = createWatch(() => JSON.stringify(doc.status.get()))
  const stop = doc.status.subscribe(watch.changed)
  await watch.until(() => look(doc.status.get()), 'the status', 10_000)
  stop()
  return doc.status.get()
}

/** Resolves once it holds, looking again after every change of the document, its peers and its status. */
export async function until (doc: Doc, look: () => boolean, what: string): Promise<void> {
  const watch = createWatch(() => JSON.stringify(doc.status.get()))
  const stops = (['change', 'status', 'presence', 'peer', 'blob', 'rejection', 'conflict', 'error'] as const).map((name) => doc.on(name, watch.changed))
  await watch.until(look, what, 10_000)
  for (const stop of stops) stop()
}
