/** Runs tasks one at a time, in the order they were handed in; a failed one is its caller's affair and holds up nobody. */
export function inTurn (): <T>(task: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (task) => {
    const done = last.then(task)
    last = done.catch(reported)
    return done
  }
}

function reported (): void {}
