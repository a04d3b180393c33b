/** Drag and drop on a list. Each is one transaction; false means that nothing happened, because an item is not there any more. */
export interface Gestures {
  /** `dragged` takes the place of `target`, which is deleted; goes to the end when there is no target. */
  dropOnto (dragged: string, target: string): boolean
  /** Puts an item before `after`, else behind `before`, else at the end: where the first of them that is there stands. */
  dropBetween (dragged: string, before: string | null, after: string | null): boolean
  swap (a: string, b: string): boolean
  /** At the end when there is no target. */
  dropBefore (dragged: string, target: string): boolean
  dropAfter (dragged: string, target: string): boolean
}

/** What gestures need of a list. */
export interface Movable {
  readonly length: number
  indexOf (id: string): number
  move (id: string, index: number): boolean
  delete (id: string): boolean
}

/** `together` runs what belongs to one gesture. */
export function createGestures (list: Movable, together: (run: () => void) => void): Gestures {
  /** The index at which an item comes to stand next to another one that is there, counted without the moved one. */
  function beside (dragged: string, target: string | null, offset: number): number | null {
    const from = list.indexOf(dragged)
    const to = target === null || target === dragged ? -1 : list.indexOf(target)
    if (to < 0) return null
    return to + offset - Number(from < to)
  }

  function drop (dragged: string, target: string, offset: number): boolean {
    if (list.indexOf(dragged) < 0) return false
    if (dragged === target) return true
    return list.move(dragged, beside(dragged, target, offset) ?? list.length)
  }

  return {
    dropOnto (dragged, target) {
      const index = list.indexOf(dragged) < 0 ? null : beside(dragged, target, 0)
      if (index === null) return drop(dragged, target, 0)
      together(() => {
        list.delete(target)
        list.move(dragged, index)
      })
      return true
    },
    dropBetween (dragged, before, after) {
      if (list.indexOf(dragged) < 0) return false
      const index = beside(dragged, after, 0) ?? beside(dragged, before, 1)
      if (index === null && (dragged === before || dragged === after)) return true
      return list.move(dragged, index ?? list.length)
    },
    swap (a, b) {
      const [low, high] = list.indexOf(a) < list.indexOf(b) ? [a, b] : [b, a]
      const from = list.indexOf(low)
      const to = list.indexOf(high)
      if (from < 0) return false
      if (from === to) return true
      together(() => {
        list.move(high, from)
        list.move(low, to)
      })
      return true
    },
    dropBefore: (dragged, target) => drop(dragged, target, 0),
    dropAfter: (dragged, target) => drop(dragged, target, 1)
  }
}
