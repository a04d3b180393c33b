import type { Clock } from '../clock.js'
import type { Rate } from '../protocol/server-message.js'
import type { Pressure } from './closing.js'

/** Most of one pack: base64 characters, and nodes, which an original server counts against a bucket that holds one second's worth. */
export interface PackLimit { characters: number, nodes: number }

/**
 * How fast nodes may be pushed, so that no server has to close the session for it (spec/session-protocol.md §6.4). The bucket holds
 * what a second allows; what the server names is used to three quarters, because packs that left evenly may arrive in a heap.
 */
export interface Pace {
  readonly limit: PackLimit
  /** Milliseconds until a pack of so many nodes and bytes may be sent; 0 for now. Takes nothing. */
  delay (nodes: number, bytes: number): number
  /** Counts a pack as sent. More than there is leaves a debt that the next delay waits for. */
  spend (nodes: number, bytes: number): void
  /** A session began. `known` says that the server is one of ours; `rate` is what it named, if it did. */
  welcomed (terms: { known: boolean, rate: Rate | undefined }): void
  /**
   * The server closed the session: for the rate of packs (4008), or for the size of one (1009). From now on packs are half as large,
   * and for the rate half as many.
   */
  strained (pressure: Pressure): void
}

/** What an original server allows a second (spec/client.md §5.14). */
const ORIGINAL: Rate = { nodes: 200, bytes: 4 * 1024 * 1024 }
/** Packs for servers of any kind, and for ours (spec/client.md §11.2, C1). */
const SMALL_PACK = 48 * 1024
const LARGE_PACK = 256 * 1024
/** A single node may be larger than a pack should be; smaller than this no pack is made to be. */
const LEAST_PACK = 4 * 1024
const MOST_NODES = 5000
const SHARE = 0.75
/** Neither gets slower nor smaller by more than this: some other reason must be found then. */
const MOST_STRAIN = 16
/** A pack of one node a second is still progress. */
const LEAST_NODES = 1

interface Bucket { perSecond: number, level: number, at: number }

export function createPace (clock: Clock): Pace {
  let known = false
  let allowed: Rate = ORIGINAL
  let slowness = 1
  let smallness = 1
  let nodes: Bucket = full(0)
  let bytes: Bucket = full(0)
  /** What is left of the allowance for the push after a welcome. */
  let extra = { nodes: 0, bytes: 0, until: 0 }

  function full (perSecond: number): Bucket {
    return { perSecond, level: perSecond, at: clock.now() }
  }

  /** Starts with full buckets, as the server's are for a new connection. */
  function begin (): void {
    nodes = full(perSecond(allowed.nodes))
    bytes = full(perSecond(allowed.bytes))
    const { nodes: more = 0, bytes: size = 0, ms = 0 } = allowed.reconcile ?? {}
    const share = (named: number): number => Math.floor(named * SHARE / slowness)
    extra = { nodes: share(more), bytes: share(size), until: clock.now() + share(ms) }
  }

  /** The part of an amount that the allowance does not cover. */
  function beyond (kind: 'nodes' | 'bytes', amount: number): number {
    return clock.now() < extra.until ? Math.max(0, amount - extra[kind]) : amount
  }

  function take (kind: 'nodes' | 'bytes', bucket: Bucket, amount: number): void {
    const charged = beyond(kind, amount)
    extra[kind] -= amount - charged
    refill(bucket).level -= charged
  }

  function perSecond (named: number): number {
    return named === 0 ? 0 : Math.max(LEAST_NODES, Math.floor(named * SHARE / slowness))
  }

  function refill (bucket: Bucket): Bucket {
    const now = clock.now()
    bucket.level = Math.min(bucket.perSecond, bucket.level + Math.max(0, now - bucket.at) * bucket.perSecond / 1000)
    bucket.at = now
    return bucket
  }

  /** What is larger than the bucket may go once the bucket is full. */
  function wait (bucket: Bucket, amount: number): number {
    if (bucket.perSecond === 0) return 0
    const { level, perSecond } = refill(bucket)
    return Math.max(0, Math.ceil((Math.min(amount, perSecond) - level) * 1000 / perSecond))
  }

  begin()
  return {
    get limit () {
      const most = nodes.perSecond === 0 ? MOST_NODES : Math.min(MOST_NODES, nodes.perSecond)
      return { characters: Math.max(LEAST_PACK, (known ? LARGE_PACK : SMALL_PACK) / smallness), nodes: most }
    },
    delay: (count, size) => Math.max(wait(nodes, beyond('nodes', count)), wait(bytes, beyond('bytes', size))),
    spend (count, size) {
      take('nodes', nodes, count)
      take('bytes', bytes, size)
    },
    welcomed (terms) {
      known = terms.known
      allowed = terms.rate ?? ORIGINAL
      begin()
    },
    strained (pressure) {
      smallness = Math.min(MOST_STRAIN, smallness * 2)
      if (pressure === 'rate') slowness = Math.min(MOST_STRAIN, slowness * 2)
    }
  }
}
