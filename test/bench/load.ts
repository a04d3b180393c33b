import { loadBlake3 } from '../../lib/protocol/blake3-wasm.js'
import { type Audience, flood, gather, pace } from './audience.js'
import type { Channel } from './channel.js'
import { type Corpus, type Kind, signedChains } from './corpus.js'
import { type Crowd, stampede } from './crowd.js'
import { type Frames, acceptedBy, nodesIn, packFrames } from './frames.js'
import { type Caught, type Return, arrive } from './newcomer.js'
import { type Pusher, createPusher } from './pusher.js'
import { at } from './sample.js'
import { signedTrace } from './trace.js'
import { type Place, each, visit } from './visitor.js'

export interface Ingest { place: Place, kind: Kind, nodes: number, perPack: number, packsInFlight: number }

/** What is sent: generated nodes or the recorded ones. */
export type Material = Kind | 'trace'

export interface Flood { kind: Material, nodes: number, perPack: number, window: number }

export type LoadCommands = ReturnType<typeof commands>

/** The load generator: writers, observers and newcomers, in a process of their own. */
export function commands () {
  let audience: Audience | null = null
  let told = 0
  let sitting: Channel[] = []
  const corpora = new Map<string, Promise<Corpus>>()
  const framed = new Map<string, Frames>()

  function remember (name: string, make: () => Promise<Corpus>): Promise<Corpus> {
    const known = corpora.get(name) ?? make()
    corpora.set(name, known)
    return known
  }

  function written (kind: Material, nodes: number): Promise<Corpus> {
    return remember(`${kind} ${nodes}`, async () => kind === 'trace'
      ? await signedTrace(nodes, await loadBlake3())
      : await signedChains(kind, 1, nodes, await loadBlake3()))
  }

  async function framesOf ({ kind, nodes, perPack }: { kind: Kind, nodes: number, perPack: number }): Promise<Frames> {
    const name = `${kind} ${nodes} ${perPack}`
    const frames = framed.get(name) ?? packFrames(await written(kind, nodes), 0, nodes, perPack)
    framed.set(name, frames)
    return frames
  }

  function present (): Audience {
    if (audience === null) throw new Error('nobody is there')
    return audience
  }

  return {
    /** One writer pushes packs, a bounded number unacknowledged. Plain ws has no acknowledgement: an observer takes its part. Answers seconds. */
    async ingest (what: Ingest): Promise<number> {
      const frames = await framesOf(what)
      return what.place.plain ? await relayed(what, frames) : await acknowledged(what, frames)
    },

    /** Brings in observers and a writer. */
    async gather ({ place, observers }: { place: Place, observers: number }): Promise<void> {
      audience = await gather(place, observers)
      told = 0
    },

    /** The next `nodes` of the writer as fast as they go; answers seconds. `supply` is how many it will write in all. */
    async flood ({ kind, supply, nodes, perPack, window }: Flood & { supply: number }): Promise<number> {
      const frames = packFrames(await written(kind, supply), told, told + nodes, perPack)
      told += nodes
      return await flood(present(), frames, window)
    },

    /** The next `nodes` of the writer at a fixed rate; answers percentiles in milliseconds. */
    async pace ({ kind, supply, nodes, rate }: { kind: Kind, supply: number, nodes: number, rate: number }): Promise<{ p50: number, p99: number }> {
      const frames = packFrames(await written(kind, supply), told, told + nodes, 1)
      told += nodes
      const latencies = await pace(present(), frames, rate)
      return { p50: at(latencies, 0.5), p99: at(latencies, 0.99) }
    },

    /** Sends the audience home. */
    disperse (): void {
      audience?.close()
      audience = null
    },

    async stampede (crowd: Crowd): Promise<number> {
      const authors = crowd.rooms * crowd.perRoom
      const corpus = await remember(`crowd ${authors} ${crowd.nodes}`, async () => await signedChains('keystroke', authors, crowd.nodes, await loadBlake3()))
      return await stampede(crowd, corpus)
    },

    async arrive ({ peers, ...what }: Return & { peers: number }): Promise<Caught[]> {
      return await arrive(what, peers)
    },

    /** Opens sessions that stay and do nothing; with `apart` each in a room of its own. */
    async sit ({ place, sessions, apart }: { place: Place, sessions: number, apart: boolean }): Promise<void> {
      const idle = { onFrame: (head: Buffer) => { nodesIn(head) }, onEnd (reason: Error) { throw reason } }
      sitting.push(...await each(sessions, async (i) => await visit(apart ? { ...place, room: `${place.room}-${i}` } : place, i + 1, [], { ...idle })))
    },

    stop (): void {
      for (const channel of sitting) channel.close()
      sitting = []
      audience?.close()
      audience = null
    }
  }
}

async function acknowledged ({ place, perPack, packsInFlight }: Ingest, frames: Frames): Promise<number> {
  let accepted = 0
  let pusher: Pusher | null = null
  const channel = await visit(place, 0, [], {
    onFrame (head) { accepted += acceptedBy(head) },
    onBatch () {
      pusher?.confirm(accepted)
      accepted = 0
    },
    onEnd: (reason) => pusher?.fail(reason)
  })
  const start = performance.now()
  pusher = createPusher(channel, frames, perPack * packsInFlight)
  await pusher.done
  channel.close()
  return (performance.now() - start) / 1000
}

async function relayed ({ place, perPack, packsInFlight }: Ingest, frames: Frames): Promise<number> {
  let heard = 0
  let pusher: Pusher | null = null
  const onEnd = (reason: Error): void => pusher?.fail(reason)
  const observer = await visit(place, 1, [], {
    onFrame (head) { heard += nodesIn(head) },
    onBatch () {
      pusher?.confirm(heard)
      heard = 0
    },
    onEnd
  })
  const channel = await visit(place, 0, [], { onFrame: (head) => { nodesIn(head) }, onEnd })
  const start = performance.now()
  pusher = createPusher(channel, frames, perPack * packsInFlight)
  await pusher.done
  channel.close()
  observer.close()
  return (performance.now() - start) / 1000
}
