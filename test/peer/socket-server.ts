import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { createWatch } from '../../lib/testing/watch.js'
import type { FuzzLink, FuzzServer } from './fuzz.js'
import { type TestServer, startServer } from './server.js'

interface Open { socket: WebSocket, early: string[], packs: number, acks: number, greeted: boolean, waits: boolean, asked: number, told: number }

const LIMITS = { nodesPerSecond: 0, bytesPerSecond: 0, messagesPerSecond: 0, readsPerSecond: 0 }
const DEADLINE = 20_000

/** The plugin over real sockets and the embedded store in `data`; a restart closes it and starts another one on the same folder. */
export async function socketServer (t: Test, data: string): Promise<FuzzServer> {
  const start = async (): Promise<TestServer> => await startServer({ data, limits: LIMITS })
  let server = await start()
  t.teardown(async () => { await server.close() })
  const links = new Set<Open>()
  const watch = createWatch(() => JSON.stringify([...links].map(({ socket, ...rest }) => rest)))

  const everyLink = async (look: (link: Open) => boolean, what: string): Promise<void> => {
    await watch.until(() => [...links].every(look), what, DEADLINE)
  }
  return {
    open: () => openLink(`${server.url}/ws/fuzz`, links, watch.changed),
    async settle () {
      await everyLink(({ packs, acks, waits }) => !waits && acks >= packs, 'welcomes and acknowledgements')
      // What the packs set off was queued before this question can arrive.
      for (const link of links) {
        if (!link.greeted) continue
        link.asked++
        transmit(link, '{"type":"presence-get"}')
      }
      await everyLink(({ asked, told }) => told >= asked, 'answers to the barrier')
    },
    async restart () {
      await server.close()
      for (const link of links) link.socket.terminate()
      links.clear()
      server = await start()
    }
  }
}

function transmit (link: Open, text: string): void {
  if (link.socket.readyState === WebSocket.CONNECTING) link.early.push(text)
  else if (link.socket.readyState === WebSocket.OPEN) link.socket.send(text)
}

function openLink (url: string, links: Set<Open>, changed: () => void): FuzzLink {
  const link: Open = { socket: new WebSocket(url), early: [], packs: 0, acks: 0, greeted: false, waits: false, asked: 0, told: 0 }
  let onFrame = (_text: string): void => {}
  let onClose = (_why: string): void => {}
  links.add(link)
  link.socket.on('open', () => { for (const text of link.early.splice(0)) link.socket.send(text) })
  link.socket.on('message', (data) => {
    const text = String(data)
    if (text.startsWith('{"type":"pack-ack"')) link.acks++
    if (text.startsWith('{"type":"welcome"')) link.waits = false
    if (text.startsWith('{"type":"presence-snapshot"')) link.told++
    else onFrame(text)
    changed()
  })
  link.socket.on('error', changed)
  link.socket.on('close', (code, reason) => {
    links.delete(link)
    onClose(`${code} ${String(reason)}`)
    changed()
  })
  return {
    send (text) {
      if (text.startsWith('{"type":"hello"')) link.greeted = link.waits = true
      if (text.startsWith('{"type":"pack"')) link.packs++
      transmit(link, text)
    },
    onFrame: (listen) => { onFrame = listen },
    onClose: (listen) => { onClose = listen },
    close () {
      links.delete(link)
      link.socket.terminate()
    }
  }
}
