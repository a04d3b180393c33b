import type { Channel } from './channel.js'
import { type Corpus } from './corpus.js'
import { framesBetween, nodesIn, packFrames } from './frames.js'
import { type Place, each, visit } from './visitor.js'

export interface Crowd { place: Place, rooms: number, perRoom: number, nodes: number, window: number }

/**
 * Rooms in which every session writes. A session is never more than `window` nodes ahead of what it has seen of the others, so that both
 * servers are paced alike, acknowledgements or not. The corpus holds `nodes` nodes of each author in turn.
 * Answers the seconds until everybody had seen everything.
 */
export async function stampede ({ place, rooms, perRoom, nodes, window }: Crowd, corpus: Corpus): Promise<number> {
  let left = rooms * perRoom
  let finish = (): void => {}
  let fail = (_: Error): void => {}
  const done = new Promise<void>((resolve, reject) => { finish = resolve; fail = reject })
  done.catch(() => {})
  const starts: Array<() => void> = []
  let begun = false

  async function member (i: number): Promise<Channel> {
    const frames = packFrames(corpus, i * nodes, (i + 1) * nodes, 1)
    let sent = 0
    let seen = 0
    let channel: Channel | null = null
    const flow = (): void => {
      const to = Math.min(nodes, Math.floor(seen / (perRoom - 1)) + window)
      if (to > sent) channel?.write(framesBetween(frames, sent, to))
      sent = Math.max(sent, to)
    }
    channel = await visit({ ...place, room: `${place.room}-${i % rooms}` }, i, [], {
      onFrame (head) {
        seen += nodesIn(head)
        if (seen === nodes * (perRoom - 1) && --left === 0) finish()
      },
      onBatch () { if (begun) flow() },
      onEnd: (reason) => fail(reason)
    })
    starts.push(flow)
    return channel
  }

  const channels = await each(rooms * perRoom, member)
  const start = performance.now()
  begun = true
  for (const begin of starts) begin()
  await done
  const seconds = (performance.now() - start) / 1000
  for (const channel of channels) channel.close()
  return seconds
}
