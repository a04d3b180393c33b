/** A token bucket: holds one second's worth, refills continuously, takes all or nothing (spec/session-protocol.md §6.4). */
export interface Bucket {
  take (amount: number, now: number): boolean
  /** Whether nothing was taken lately, so that the bucket may be forgotten. */
  full (now: number): boolean
}

/** `perSecond` 0 means no limit. `capacity` defaults to one second's worth. */
export function createBucket (perSecond: number, now: number, capacity = perSecond): Bucket {
  let level = capacity
  let at = now
  const refill = (time: number): void => {
    level = Math.min(capacity, level + Math.max(0, time - at) / 1000 * perSecond)
    at = time
  }
  return {
    take (amount, time) {
      if (perSecond === 0) return true
      refill(time)
      if (amount > level) return false
      level -= amount
      return true
    },
    full (time) {
      refill(time)
      return level >= capacity
    }
  }
}
