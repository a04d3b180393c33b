import { NodalmergeError } from '../errors.js'
import { type Bucket, createBucket } from './bucket.js'
import type { Limits } from './limits.js'

/** What one peer at one address may push. Kept across its connections, so that reconnecting refills nothing (spec/session-protocol.md §6.4). */
export interface Quota {
  /** Charges new nodes and their bytes, nodes first; throws `reject.rate_limit_nodes` or `reject.rate_limit_bytes`. */
  charge (nodes: number, bytes: number, now: number): void
  /** Opens the allowance for the push that follows a `welcome`, at most once in `reconcileEveryMs`; null when there is none this time. */
  welcome (now: number): Allowance | null
  idle (now: number): boolean
}

/** What may be pushed on top of the rate in so many milliseconds. */
export interface Allowance { nodes: number, bytes: number, ms: number }

export function createQuota (limits: Limits, born: number): Quota {
  const nodeBucket = createBucket(limits.nodesPerSecond, born)
  const byteBucket = createBucket(limits.bytesPerSecond, born)
  let allowance = { nodes: 0, bytes: 0, until: 0 }
  let allowedAt = -Infinity

  function take (bucket: Bucket, amount: number, kind: 'nodes' | 'bytes', now: number): boolean {
    const free = now < allowance.until ? Math.min(amount, allowance[kind]) : 0
    if (!bucket.take(amount - free, now)) return false
    allowance[kind] -= free
    return true
  }

  return {
    charge (nodes, bytes, now) {
      if (!take(nodeBucket, nodes, 'nodes', now)) throw new NodalmergeError('reject.rate_limit_nodes')
      if (!take(byteBucket, bytes, 'bytes', now)) throw new NodalmergeError('reject.rate_limit_bytes')
    },
    welcome (now) {
      if (now - allowedAt < limits.reconcileEveryMs) return null
      allowedAt = now
      const { reconcileNodes: nodes, reconcileBytes: bytes, reconcileWindowMs: ms } = limits
      allowance = { nodes, bytes, until: now + ms }
      return { nodes, bytes, ms }
    },
    idle: (now) => now - allowedAt >= limits.reconcileEveryMs && nodeBucket.full(now) && byteBucket.full(now)
  }
}

/** Quotas by public key and address; those nobody has used lately are forgotten. */
export interface Quotas {
  of (pubkey: string, address: string): Quota
  sweep (now: number): void
}

export function createQuotas (limits: Limits, now: () => number): Quotas {
  const held = new Map<string, Quota>()
  return {
    of (pubkey, address) {
      const key = `${address} ${pubkey}`
      const quota = held.get(key) ?? createQuota(limits, now())
      held.set(key, quota)
      return quota
    },
    sweep (time) {
      for (const [key, quota] of held) if (quota.idle(time)) held.delete(key)
    }
  }
}
