/** Time as rooms and clients see it, so that their tests need no sleep. */
export interface Clock {
  /** Unix milliseconds. */
  now (): number
  /** Runs `run` once after `ms`; the answer cancels it. Never keeps the process alive. */
  after (ms: number, run: () => void): () => void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after (ms, run) {
    const timer = setTimeout(run, ms)
    // A browser's timer is a number.
    if (typeof timer === 'object') timer.unref()
    return () => clearTimeout(timer)
  }
}
