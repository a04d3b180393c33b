import type { Clock } from '../clock.js'
import type { Dag } from '../dag/dag.js'
import type { Ranges } from '../dag/ranges.js'
import { toBase64 } from '../protocol/base64.js'
import { encodePack } from '../protocol/pack.js'
import { breathe } from './breath.js'
import type { ClientFrame } from './frame.js'
import type { Pace } from './pace.js'
import type { Pending, PendingNode } from './pending.js'

/** A pack that is written to the socket and not answered. */
export interface Parcel {
  readonly id: number
  /** Nodes of it that were pending when it went out. */
  nodes: PendingNode[]
  /** How many confirmed nodes it holds that the server has lost. */
  readonly lost: number
}

/** The most nodes in one pack, and the most packs without an answer. */
export interface Window { nodes: number, parcels: number }

/**
 * Brings to the server what it lacks: first the confirmed nodes it has lost, then what is pending; parents first, in packs of bounded
 * size, at the pace the server allows, with a bounded number of them unanswered (spec/client.md §11.2, C1). Never an empty pack.
 */
export interface Upload {
  /** The session may be sent to; `lost` are confirmed nodes it lacks, `most` bounds the packs without an answer. */
  begin (lost: Ranges, most: Window): void
  end (): void
  /** Nodes that may be sent now, after all that were given before. */
  queue (nodes: readonly PendingNode[]): void
  /** Packs without an answer, oldest first. */
  readonly parcels: ReadonlyMap<number, Parcel>
  /** Confirmed nodes that the server has lost and that are not written out. */
  readonly lost: number
  /** A parcel was answered. */
  settle (id: number): void
  /** Sends these again after a pause in milliseconds. */
  again (nodes: readonly PendingNode[], pauseMs: number): void
  /** Sends everything again that is not answered, after a pause in milliseconds; what is answered late counts no more. */
  restart (pauseMs: number): void
  /** The most nodes in one pack and the most unanswered packs, from here on. */
  narrow (most: Window): void
  /** Sends what may be sent. */
  pump (): void
}

export interface UploadParts {
  dag: Dag
  pending: Pending
  pace: Pace
  clock: Clock
  /** Answers whether the frame went to a socket. */
  send (frame: ClientFrame): boolean
  /** Something was written out. */
  written: () => void
  /** The last of what may be sent is written out, or the window is full. */
  resting: () => void
}

/** Written out without a pause, in bytes. */
const TURN_BYTES = 128 * 1024

interface Batch { nodes: PendingNode[], bytes: Uint8Array[], size: number, lost: number }

export function createUpload (parts: UploadParts): Upload {
  const { dag, pending, pace, clock } = parts
  const parcels = new Map<number, Parcel>()
  let live = false
  let number = 0
  let lost: Lost = createLost(null)
  /** What may be sent and is not, in order; the first `at` of them are done. */
  let waiting: PendingNode[] = []
  let at = 0
  let cancel: (() => void) | null = null
  let resting = false
  let window: Window = { nodes: 0, parcels: 0 }

  function next (): PendingNode | null {
    while (at < waiting.length && (waiting[at].gone || waiting[at].sent)) at++
    if (at > 1024 && at * 2 > waiting.length) {
      waiting = waiting.slice(at)
      at = 0
    }
    return waiting.at(at) ?? null
  }

  /** The next pack, without taking anything off the queue. */
  function gather (): Batch {
    const { characters, nodes: most } = pace.limit
    const budget = Math.floor(characters / 4) * 3
    const limit = Math.min(most, window.nodes)
    const batch: Batch = { nodes: [], bytes: [], size: 10, lost: 0 }
    const fits = (bytes: Uint8Array): boolean => {
      if (batch.bytes.length > 0 && (batch.size + bytes.length > budget || batch.bytes.length >= limit)) return false
      batch.bytes.push(bytes)
      batch.size += bytes.length
      return true
    }
    for (let index = lost.peek(0); index >= 0 && fits(dag.bytes(index)); index = lost.peek(batch.lost)) batch.lost++
    if (lost.peek(batch.lost) >= 0) return batch
    next()
    for (let i = at; i < waiting.length; i++) {
      const node = waiting[i]
      if (node.gone || node.sent || node.bytes === null) continue
      if (!fits(node.bytes)) break
      batch.nodes.push(node)
    }
    return batch
  }

  function pump (): void {
    if (!live || cancel !== null || resting) return
    let written = 0
    while (written <= TURN_BYTES) {
      if (parcels.size >= window.parcels) return parts.resting()
      const batch = gather()
      if (batch.bytes.length === 0) return parts.resting()
      const delay = pace.delay(batch.bytes.length, batch.size)
      if (delay > 0) return pause(delay)
      const id = ++number
      if (!parts.send({ type: 'pack', id, nodes: toBase64(encodePack(batch.bytes)) })) return
      pace.spend(batch.bytes.length, batch.size)
      written += batch.size
      parcels.set(id, { id, nodes: batch.nodes, lost: batch.lost })
      lost.take(batch.lost)
      for (const node of batch.nodes) pending.markSent(node, true)
      parts.written()
    }
    rest()
  }

  /** Lets frames and input go first; encoding many packs takes its time. */
  function rest (): void {
    resting = true
    breathe().then(() => {
      resting = false
      pump()
    })
  }

  function pause (ms: number): void {
    cancel?.()
    cancel = clock.after(ms, () => {
      cancel = null
      pump()
    })
  }

  function collect (): void {
    waiting = [...pending.all()].filter((node) => node.ready && !node.sent)
    at = 0
  }

  function again (nodes: readonly PendingNode[], ms: number): void {
    for (const node of nodes) pending.markSent(node, false)
    collect()
    pause(ms)
  }

  return {
    begin (ranges, most) {
      live = true
      window = most
      lost = createLost(ranges)
      collect()
      pump()
    },
    end () {
      live = false
      parcels.clear()
      lost = createLost(null)
      pending.markAllUnsent()
      cancel?.()
      cancel = null
    },
    queue (nodes) {
      if (!live) return
      for (const node of nodes) waiting.push(node)
      pump()
    },
    parcels,
    get lost () { return lost.left },
    settle (id) { parcels.delete(id) },
    again,
    restart (ms) {
      const nodes = [...parcels.values()].flatMap((parcel) => parcel.nodes)
      parcels.clear()
      again(nodes, ms)
    },
    narrow (most) { window = most },
    pump
  }
}

/** The indices of ranges one after the other, without a list of them. */
interface Lost { readonly left: number, peek (ahead: number): number, take (count: number): void }

function createLost (ranges: Ranges | null): Lost {
  const parts = [...ranges ?? []]
  let left = ranges?.count ?? 0
  return {
    get left () { return left },
    /** The index `ahead` places further on, or -1. */
    peek (ahead) {
      for (const [from, to] of parts) {
        if (ahead < to - from) return from + ahead
        ahead -= to - from
      }
      return -1
    },
    take (count) {
      left -= count
      for (let first = parts.at(0); first !== undefined && count > 0; first = parts.at(0)) {
        const taken = Math.min(count, first[1] - first[0])
        first[0] += taken
        count -= taken
        if (first[0] === first[1]) parts.shift()
      }
    }
  }
}
