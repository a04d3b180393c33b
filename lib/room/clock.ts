/** Time as the room layer sees it, so that its tests need no sleep. */
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
    timer.unref()
    return () => clearTimeout(timer)
  }
}
