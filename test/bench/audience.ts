import type { Channel } from './channel.js'
import { type Frames, framesBetween, nodesIn } from './frames.js'
import { createPusher } from './pusher.js'
import { type Place, each, visit } from './visitor.js'

/** One writer and its observers, all in this process; `heard` is called for the nodes that reach an observer. */
export interface Audience {
  readonly writer: Channel
  readonly size: number
  listen (heard: (observer: number, nodes: number) => void, broken: (reason: Error) => void): void
  close (): void
}

export async function gather (place: Place, observers: number): Promise<Audience> {
  let heard = (_observer: number, _nodes: number): void => {}
  let broken = (reason: Error): void => { throw reason }
  const onEnd = (reason: Error): void => broken(reason)
  const channels = await each(observers, async (i) => await visit(place, i + 1, [], {
    onFrame (head) {
      const nodes = nodesIn(head)
      if (nodes > 0) heard(i, nodes)
    },
    onEnd
  }))
  const writer = await visit(place, 0, [], { onFrame: (head) => { nodesIn(head) }, onEnd })
  return {
    writer,
    size: observers,
    listen (_heard, _broken) {
      heard = _heard
      broken = _broken
    },
    close () {
      for (const channel of [writer, ...channels]) channel.close()
    }
  }
}

/** Looks at the progress of the slowest observer this many times per window. */
const STEPS = 8

/** As fast as the slowest observer follows: at most `window` nodes ahead of it. Answers the seconds until everyone had everything. */
export async function flood (audience: Audience, frames: Frames, window: number): Promise<number> {
  const total = frames.nodes[frames.nodes.length - 1]
  const step = Math.max(1, Math.floor(window / STEPS))
  const milestones = Math.ceil(total / step)
  const reached = new Uint32Array(milestones)
  const counts = new Uint32Array(audience.size)
  const start = performance.now()
  const pusher = createPusher(audience.writer, frames, window)
  audience.listen((observer, nodes) => {
    const before = counts[observer]
    counts[observer] = before + nodes
    const to = counts[observer] >= total ? milestones : Math.floor(counts[observer] / step)
    for (let i = Math.floor(before / step); i < to; i++) {
      if (++reached[i] === audience.size) pusher.confirm(Math.min(step, total - i * step))
    }
  }, pusher.fail)
  await pusher.done
  return (performance.now() - start) / 1000
}

/** One frame at a time, `rate` of them per second. Answers every latency from the writer's write to an observer, ascending, in ms. */
export async function pace (audience: Audience, frames: Frames, rate: number): Promise<Float64Array> {
  const total = frames.ends.length
  const sentAt = new Float64Array(total)
  const counts = new Uint32Array(audience.size)
  const latencies = new Float64Array(total * audience.size)
  let known = 0
  return await new Promise((resolve, reject) => {
    audience.listen((observer, nodes) => {
      const now = performance.now()
      for (let i = 0; i < nodes; i++) latencies[known++] = now - sentAt[counts[observer]++]
      if (known === latencies.length) resolve(latencies.sort())
    }, reject)
    const start = performance.now()
    let next = 0
    const send = (): void => {
      sentAt[next] = performance.now()
      audience.writer.write(framesBetween(frames, next, next + 1))
      if (++next < total) setTimeout(send, start + 1000 * next / rate - performance.now())
    }
    send()
  })
}
