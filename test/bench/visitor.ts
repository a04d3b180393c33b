import { type Channel, type Listeners, clientFrame, openChannel } from './channel.js'

/** How to reach a room of either server. */
export interface Place { port: number, room: string, plain: boolean }

/** Keeps connection attempts below what a listening socket queues. */
const AT_ONCE = 50

/** A session that has been welcomed, or a bare connection to plain ws. `author` distinguishes public keys; `heads` is what it holds. */
export async function visit ({ port, room, plain }: Place, author: number, heads: readonly string[], listeners: Listeners): Promise<Channel> {
  let welcomed = (): void => {}
  const welcome = new Promise<void>((resolve, reject) => {
    welcomed = resolve
    const { onEnd } = listeners
    listeners.onEnd = (reason) => { reject(reason); onEnd(reason) }
  })
  const { onFrame } = listeners
  if (!plain) {
    listeners.onFrame = (head, length) => {
      welcomed()
      listeners.onFrame = onFrame
      if (head.indexOf('"type":"welcome"') < 0) onFrame(head, length)
    }
  }
  const channel = await openChannel(port, `/ws/${room}`, listeners)
  if (plain) return channel
  channel.write(clientFrame(Buffer.from(hello(author, heads))))
  await welcome
  return channel
}

export function hello (author: number, heads: readonly string[]): string {
  return JSON.stringify({ type: 'hello', pubkey: author.toString(16).padStart(64, 'e'), frontier: heads })
}

/** Makes `count` of something, a few at a time, in order. */
export async function each<Thing> (count: number, make: (i: number) => Promise<Thing>): Promise<Thing[]> {
  const made: Thing[] = []
  for (let from = 0; from < count; from += AT_ONCE) {
    const more = Array.from({ length: Math.min(AT_ONCE, count - from) }, async (_, i) => await make(from + i))
    made.push(...await Promise.all(more))
  }
  return made
}
