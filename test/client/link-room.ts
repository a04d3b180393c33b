import type { WebSocketLike } from '../../lib/client/socket.js'
import type { Socket } from '../../lib/room/outbox.js'
import type { Server } from '../../lib/room/server.js'

/** A client's socket to a real room, without a network: frames take a turn of the event loop. */
export function roomSocket (server: Server, room: string): WebSocketLike {
  const listeners: Record<string, ((event: never) => void)[]> = { open: [], error: [], message: [], close: [] }
  let readyState = 0
  const tell = (type: string, event: object): void => { for (const listen of listeners[type]) listen(event as never) }
  const end = (code: number, reason: string): void => {
    if (readyState === 3) return
    readyState = 3
    setImmediate(() => { tell('close', { code, reason }) })
  }
  const socket: Socket = {
    send (frames, written) {
      setImmediate(() => {
        for (const frame of frames) if (readyState === 1) tell('message', { data: Buffer.from(frame).toString() })
        written()
      })
    },
    close: end,
    terminate: () => { end(1006, '') },
    ping () {},
    pause () {},
    resume () {}
  }
  const session = server.rooms.connect(socket, { room, address: '10.0.0.1', request: { headers: {} } })
  setImmediate(() => {
    if (readyState !== 0) return
    readyState = 1
    tell('open', {})
  })
  return {
    get readyState () { return readyState },
    addEventListener (type: string, listen: (event: never) => void) { listeners[type].push(listen) },
    send: (text) => { setImmediate(() => { session.receive(text) }) },
    close (code = 1005, reason = '') {
      session.ended()
      end(code, reason)
    }
  }
}
