/** How a link comes back after a connection ended. Times in milliseconds. */
export interface Reconnect {
  /** The first delay; 500. */
  minMs: number
  /** The longest delay; 30,000. */
  maxMs: number
  /** Each delay is so many times the one before; 2. */
  factor: number
  /** The share of a delay that chance may take away, so that clients do not all come back at once; 0.5. */
  jitter: number
  /** How long a connection has to last for the delays to start over; 5,000. */
  stableMs: number
}

export const RECONNECT: Readonly<Reconnect> = Object.freeze({ minMs: 500, maxMs: 30_000, factor: 2, jitter: 0.5, stableMs: 5_000 })

export interface Backoff {
  /** Delays handed out since the last reset. */
  readonly attempt: number
  /** The next delay. One of at least `atLeastMs` is spread beyond that. */
  next (atLeastMs?: number): number
  reset (): void
}

export function createBackoff ({ minMs, maxMs, factor, jitter }: Omit<Reconnect, 'stableMs'>, random: () => number): Backoff {
  let attempt = 0
  return {
    get attempt () { return attempt },
    next (atLeastMs = 0) {
      const whole = Math.min(maxMs, minMs * factor ** attempt++)
      const chance = random() * jitter
      return Math.round(atLeastMs > 0 ? Math.max(atLeastMs, whole) * (1 + chance) : whole * (1 - chance))
    },
    reset () { attempt = 0 }
  }
}
