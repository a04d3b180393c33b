import { readFileSync } from 'node:fs'

/** Processor time of this thread so far, in milliseconds: on a busy machine it does not count the turns of others. */
function threadTime (): number {
  try {
    return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ', 1)[0]) / 1e6
  } catch {
    return performance.now()
  }
}

/** Watches the event loop; answers how many milliseconds of work at most it did without coming round to its timers. */
export function watchPauses (): () => number {
  let last = threadTime()
  let longest = 0
  const look = (): void => {
    const now = threadTime()
    longest = Math.max(longest, now - last)
    last = now
  }
  const timer = setInterval(look, 1)
  return () => {
    clearInterval(timer)
    look()
    return longest
  }
}
