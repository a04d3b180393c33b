/** Keeps packs of one session in order although the work on them overlaps: a pack is placed when all before it are. */
export interface Lane { enter (): Ticket }

export interface Ticket {
  /** Resolves when everybody before has left. */
  readonly turn: Promise<void>
  leave (): void
}

export function createLane (): Lane {
  let tail: Promise<void> = Promise.resolve()
  return {
    enter () {
      const turn = tail
      let leave!: () => void
      const left = new Promise<void>((resolve) => { leave = resolve })
      tail = turn.then(() => left)
      return { turn, leave }
    }
  }
}
