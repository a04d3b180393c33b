import type { Clock } from '../clock.js'

/** Runs something now and then: when asked, but not twice within an interval, and the last time for certain. */
export interface Throttle {
  /** Runs it now, or as soon as the interval allows. */
  ask (): void
  /** Runs it in so long, unless it runs before. */
  within (ms: number): void
  cancel (): void
}

export function createThrottle (clock: Clock, intervalMs: number, run: () => void): Throttle {
  let last = -Infinity
  let due = Infinity
  let stop = (): void => {}

  function fire (): void {
    cancel()
    last = clock.now()
    run()
  }

  function cancel (): void {
    stop()
    due = Infinity
  }

  function runAt (time: number): void {
    if (time >= due) return
    stop()
    due = time
    stop = clock.after(time - clock.now(), fire)
  }

  return {
    ask () {
      const earliest = last + intervalMs
      if (earliest <= clock.now()) fire()
      else runAt(earliest)
    },
    within (ms) { runAt(clock.now() + ms) },
    cancel
  }
}
