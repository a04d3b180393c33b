import type { WebSocketLike } from '../../lib/testing/socket.js'
import type { FuzzLink } from './fuzz.js'
import type { Random } from './random.js'

/** A connection that delivers only when told to, and then packs more than once and in another order; everything else in order, once. */
export interface RoughLink {
  readonly socket: WebSocketLike
  readonly idle: boolean
  /** Hands some of what the peer sent to the server; all of it without `random`. */
  up (random: Random | null): number
  /** Hands some of what the server sent to the peer. */
  down (random: Random | null): number
  /** Loses what is under way in both directions. */
  cut (): void
}

type Listener = (event: never) => void

const isPack = (text: string): boolean => text.startsWith('{"type":"pack","') || text.startsWith('{"type":"pack",')

/** Takes some frames off a queue: a prefix, in which runs of packs are shuffled and now and then repeated. */
function takeSome (queue: string[], random: Random | null): string[] {
  if (random === null) return queue.splice(0)
  const taken = queue.splice(0, 1 + random.below(queue.length))
  const delivered: string[] = []
  let run: string[] = []
  const flush = (): void => {
    delivered.push(...random.shuffled(run.flatMap((text) => random.chance(0.15) ? [text, text] : [text])))
    run = []
  }
  for (const text of taken) {
    if (isPack(text)) { run.push(text); continue }
    flush()
    delivered.push(text)
  }
  flush()
  return delivered
}

export function createRoughLink (link: FuzzLink, lost: (why: string) => void): RoughLink {
  const listeners: Record<string, Listener[]> = {}
  const upward: string[] = []
  const downward: string[] = []
  let state = 1
  const emit = (type: string, event: unknown): void => {
    for (const listen of listeners[type] ?? []) (listen as (event: unknown) => void)(event)
  }
  const end = (code: number): void => {
    if (state === 3) return
    state = 3
    upward.length = downward.length = 0
    emit('close', { code, reason: '' })
  }
  link.onFrame((text) => { if (state === 1) downward.push(text) })
  link.onClose((why) => {
    if (state === 1) lost(why)
    end(1006)
  })
  const cut = (): void => {
    if (state === 3) return
    end(1006)
    link.close()
  }
  return {
    socket: {
      get readyState () { return state },
      send (text) { if (state === 1) upward.push(text) },
      close: cut,
      addEventListener (type: string, listen: Listener) { (listeners[type] ??= []).push(listen) }
    },
    get idle () { return upward.length + downward.length === 0 },
    up (random) {
      if (upward.length === 0) return 0
      const frames = takeSome(upward, random)
      for (const text of frames) if (state === 1) link.send(text)
      return frames.length
    },
    down (random) {
      if (downward.length === 0) return 0
      const frames = takeSome(downward, random)
      for (const data of frames) if (state === 1) emit('message', { data })
      return frames.length
    },
    cut
  }
}
