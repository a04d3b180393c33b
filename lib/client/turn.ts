/** Runs tasks one at a time, in the order they were handed in; a failed one is its caller's affair and holds up nobody. */
export type Turn = <T>(task: () => Promise<T>) => Promise<T>

export function createTurn (): Turn {
  let last: Promise<unknown> = Promise.resolve()
  return (task) => {
    const done = last.then(task)
    last = done.catch(() => undefined)
    return done
  }
}
