import type { Clock } from '../clock.js'

export interface FakeClock extends Clock {
  /** Moves the time forward and runs what falls due, earliest first; a timer set by a timer runs in the same call when it falls due too. */
  advance (ms: number): void
  /** Timers that have neither run nor been cancelled. */
  readonly pending: number
}

interface Timer { at: number, run: () => void }

/** A clock that stands still until it is advanced. `start` is the first value of `now`, in Unix milliseconds. */
export function createFakeClock (start = 1_700_000_000_000): FakeClock {
  let time = start
  const timers = new Set<Timer>()

  /** Sets keep insertion order, so that timers of one instant run in the order in which they were set. */
  function earliest (limit: number): Timer | null {
    let first: Timer | null = null
    for (const timer of timers) if (timer.at <= limit && (first === null || timer.at < first.at)) first = timer
    return first
  }

  return {
    now: () => time,
    after (ms, run) {
      const timer = { at: time + Math.max(0, ms), run }
      timers.add(timer)
      return () => { timers.delete(timer) }
    },
    advance (ms) {
      if (!(ms >= 0)) throw new RangeError('time moves forward only')
      const end = time + ms
      for (let timer = earliest(end); timer !== null; timer = earliest(end)) {
        timers.delete(timer)
        time = timer.at
        timer.run()
      }
      time = end
    },
    get pending () { return timers.size }
  }
}
