import type { Test } from 'tap'
import { memoryNodes } from '../../lib/store/memory-nodes.js'
import { createTestServer } from '../room/harness.js'
import type { FuzzLink, FuzzServer } from './fuzz.js'

interface Open { packs: number, acks: number, waits: boolean, end: (why: string) => void }

/** Turns of the event loop without a frame after which a server with nothing left to answer is taken to be at rest. */
const STILL = 4
const MOST_TURNS = 5000

/** Real rooms, verifier and memory store without a network; a restart opens new rooms over the same store. */
export async function roomServer (t: Test): Promise<FuzzServer> {
  const store = memoryNodes()
  await store.open()
  let { server, clock } = createTestServer(t, { store })
  const open = new Set<Open>()
  let frames = 0

  function connect (): FuzzLink {
    const state: Open = { packs: 0, acks: 0, waits: false, end: () => {} }
    let onFrame = (_text: string): void => {}
    let onClose = (_why: string): void => {}
    const hear = (text: string): void => {
      frames++
      if (text.startsWith('{"type":"pack-ack"')) state.acks++
      if (text.startsWith('{"type":"welcome"')) state.waits = false
      onFrame(text)
    }
    const session = server.rooms.connect({
      send (written, done) {
        setImmediate(() => {
          if (open.has(state)) for (const frame of written) hear(Buffer.from(frame).toString())
          done()
        })
      },
      close: (code, reason) => { state.end(`${code} ${reason}`) },
      terminate: () => { state.end('terminated') },
      ping () {},
      pause () {},
      resume () {}
    }, { room: 'fuzz', address: '10.0.0.1', request: null })
    state.end = (why) => {
      if (open.delete(state)) onClose(why)
    }
    open.add(state)
    return {
      send (text) {
        if (text.startsWith('{"type":"hello"')) state.waits = true
        if (text.startsWith('{"type":"pack"')) state.packs++
        session.receive(text)
      },
      onFrame: (listen) => { onFrame = listen },
      onClose: (listen) => { onClose = listen },
      close () {
        open.delete(state)
        session.ended()
      }
    }
  }

  /** Every hello welcomed, every pack acknowledged, and a few turns without a frame. Delayed answers are hurried along by the clock. */
  async function settle (): Promise<void> {
    for (let turn = 0, still = 0; still < STILL; turn++) {
      if (turn > MOST_TURNS) throw new Error('the server does not come to rest')
      const before = frames
      await new Promise(setImmediate)
      const owed = [...open].some(({ packs, acks, waits }) => waits || acks < packs)
      still = frames === before && !owed ? still + 1 : 0
      if (turn % 100 === 99) clock.advance(1000)
    }
  }

  return {
    open: connect,
    settle,
    async restart () {
      for (const link of [...open]) link.end('restart')
      await server.rooms.drain()
      ;({ server, clock } = createTestServer(t, { store }))
    }
  }
}
