import type { Test } from 'tap'
import type { Clock } from '../../lib/clock.js'
import { memoryNodes } from '../../lib/store/memory-nodes.js'
import { type TestServer, createTestServer } from '../room/harness.js'
import { createOriginalServer, type OriginalOptions, type OriginalServer } from './original-server.js'
import { blake3 } from '../room/harness.js'
import type { Host, Line } from './sync-rig.js'

type ServerParts = NonNullable<Parameters<typeof createTestServer>[1]>

/** This repository's own rooms, verifier and stores without a network. */
export interface OwnHost extends Host {
  readonly test: TestServer
  readonly room: string
  /** Ids of everything the room holds, sorted, in hexadecimal. */
  ids (): Promise<string[]>
  /** Frames for which it answers false never arrive: an acknowledgement that is lost. */
  pass: (text: string) => boolean
}

export async function ownHost (t: Test, parts: ServerParts = {}, room = 'plans'): Promise<OwnHost> {
  const store = parts.store ?? memoryNodes()
  await store.open()
  const test = createTestServer(t, { ...parts, store })
  const host: OwnHost = {
    test,
    room,
    pass: () => true,
    async ids () {
      const { dag } = await test.server.rooms.open(room)
      return Array.from({ length: dag.size }, (_, i) => Buffer.from(dag.id(i)).toString('hex')).sort()
    },
    connect (): Line {
      let onFrame = (_text: string): void => {}
      let onClose = (_code: number): void => {}
      let open = true
      const end = (code: number): void => {
        if (!open) return
        open = false
        onClose(code)
      }
      const session = test.server.rooms.connect({
        send (frames, written) {
          setImmediate(() => {
            for (const frame of frames) {
              const text = Buffer.from(frame).toString()
              if (open && host.pass(text)) onFrame(text)
            }
            written()
          })
        },
        close: end,
        terminate: () => end(1006),
        ping () {},
        pause () {},
        resume () {}
      }, { room, address: '10.0.0.1', request: null })
      return {
        send: (text) => session.receive(text),
        onFrame (listen) { onFrame = listen },
        onClose (listen) { onClose = listen },
        close () {
          open = false
          session.ended()
        }
      }
    }
  }
  return host
}

export interface OriginalHost extends Host { readonly server: OriginalServer }

/** The emulated original server; its welcome comes 100 ms after the hello, by the given clock. */
export function originalHost (clock: Clock, options: Partial<OriginalOptions> = {}): OriginalHost {
  const server = createOriginalServer({ blake3, clock, rate: { nodes: 0, bytes: 0 }, ...options })
  return {
    server,
    connect (): Line {
      const socket = server.open('ws://original/ws/plans')
      return {
        send: (text) => socket.send(text),
        onFrame: (listen) => socket.addEventListener('message', ({ data }) => listen(String(data))),
        onClose: (listen) => socket.addEventListener('close', ({ code }) => listen(code)),
        close: () => socket.close(1000)
      }
    }
  }
}

/** A server that says exactly what a test lets it say. */
export interface ScriptedHost extends Host {
  /** Everything it was sent in its present connection. */
  readonly heard: Array<{ type: string } & Record<string, unknown>>
  readonly connections: number
  say (message: object): void
  end (code: number): void
}

export function scriptedHost (): ScriptedHost {
  let onFrame = (_text: string): void => {}
  let onClose = (_code: number): void => {}
  const host = {
    heard: [] as ScriptedHost['heard'],
    connections: 0,
    say: (message: object) => onFrame(JSON.stringify(message)),
    end: (code: number) => onClose(code),
    connect (): Line {
      host.connections++
      host.heard.length = 0
      return {
        send: (text) => host.heard.push(JSON.parse(text) as ScriptedHost['heard'][number]),
        onFrame (listen) { onFrame = listen },
        onClose (listen) { onClose = listen },
        close () {}
      }
    }
  }
  return host
}
