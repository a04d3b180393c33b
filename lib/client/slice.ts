import { breathe } from './breath.js'

/** Work between two pauses, in milliseconds: half a frame of the screen. */
const SLICE_MS = 8

/** Long work in small pieces: says when others should go first, and lets them. */
export interface Slice {
  due (): boolean
  rest (): Promise<void>
}

export function createSlice (): Slice {
  let until = performance.now() + SLICE_MS
  return {
    due: () => performance.now() > until,
    async rest () {
      await breathe()
      until = performance.now() + SLICE_MS
    }
  }
}

/** Runs a job that offers to pause, in slices. */
export async function drive<Result> (job: Generator<void, Result>): Promise<Result> {
  const slice = createSlice()
  for (;;) {
    const step = job.next()
    if (step.done === true) return step.value
    if (slice.due()) await slice.rest()
  }
}
