import type { Channel } from './channel.js'
import { type Frames, framesBetween } from './frames.js'

/** Writes frames with a bounded number of unconfirmed nodes on their way. */
export interface Pusher {
  /** Nodes that have come through since the last call; writes what there is room for now. */
  confirm (nodes: number): void
  /** Resolves when every node was confirmed. */
  readonly done: Promise<void>
  fail (reason: Error): void
}

export function createPusher (channel: Channel, frames: Frames, window: number): Pusher {
  const total = frames.nodes.length
  const nodes = total === 0 ? 0 : frames.nodes[total - 1]
  let sent = 0
  let confirmed = 0
  let resolve = (): void => {}
  let reject = (_: Error): void => {}
  const done = new Promise<void>((_resolve, _reject) => { resolve = _resolve; reject = _reject })
  // A failure before somebody waits is told to whoever waits later.
  done.catch(() => {})

  function flow (): void {
    const from = sent
    while (sent < total && (sent === 0 ? 0 : frames.nodes[sent - 1]) - confirmed < window) sent++
    if (sent > from) channel.write(framesBetween(frames, from, sent))
  }

  flow()
  return {
    confirm (more) {
      if (more === 0) return
      confirmed += more
      if (confirmed >= nodes) resolve()
      else flow()
    },
    done,
    fail: reject
  }
}
