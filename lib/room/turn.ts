/**
 * What is left to do at the end of a turn of the event loop: relays are assembled and outboxes written once for everything that the
 * turn brought. Nothing waits for a timer: an idle server does it within microseconds. Long lists are worked off in slices, so
 * that a room of thousands of sessions does not hold the loop.
 */
export interface Turn { defer (task: () => void): void }

/** How long a slice may hold the loop, in milliseconds; below the 5 ms we promise, because one task may overrun it. */
const SLICE_MS = 3
/** Tasks between two looks at the clock, which itself costs about as much as a small task. */
const TASKS_PER_LOOK = 16

export function createTurn (): Turn {
  let tasks: Array<() => void> = []
  let done = 0
  let scheduled = false

  function run (): void {
    const until = performance.now() + SLICE_MS
    while (done < tasks.length) {
      tasks[done++]()
      if (done % TASKS_PER_LOOK === 0 && performance.now() > until) {
        setImmediate(run)
        return
      }
    }
    tasks = []
    done = 0
    scheduled = false
  }

  return {
    defer (task) {
      tasks.push(task)
      if (scheduled) return
      scheduled = true
      setImmediate(run)
    }
  }
}

/** Lets the event loop take a turn. */
export function nextTurn (): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Counts work of one job and says when it should let others go first. */
export function createPace (): { due (): boolean, rest (): Promise<void> } {
  let until = performance.now() + SLICE_MS
  let looks = 0
  return {
    due: () => ++looks % TASKS_PER_LOOK === 0 && performance.now() > until,
    async rest () {
      await nextTurn()
      until = performance.now() + SLICE_MS
    }
  }
}

/** Runs a job that offers to pause, in slices. */
export async function drive<Result> (job: Generator<void, Result>): Promise<Result> {
  const pace = createPace()
  for (;;) {
    const step = job.next()
    if (step.done === true) return step.value
    if (pace.due()) await pace.rest()
  }
}
