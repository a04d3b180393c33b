/**
 * A set of nodes as ascending, disjoint, coalesced index ranges `[from, to)`: what a catch-up has to send, parents first, without
 * naming every node.
 */
export interface Ranges extends Iterable<[from: number, to: number]> {
  /** Nodes in all ranges together. */
  readonly count: number
  /** Whether all nodes of `[from, to)` are in it. */
  covers (from: number, to: number): boolean
}

export const NONE: Ranges = rangesOf([])

/** The nodes `[0, size)`. */
export function everything (size: number): Ranges {
  return size === 0 ? NONE : rangesOf([0, size])
}

/** The nodes of `whole` that are not in `part`, or null unless all of `part` is in `whole`. */
export function difference (whole: Ranges, part: Ranges): Ranges | null {
  const rest = rangesBuilder()
  const parts = [...part]
  if (!parts.every(([from, to]) => whole.covers(from, to))) return null
  let next = 0
  for (const [from, to] of whole) {
    let at = from
    for (; next < parts.length && parts[next][0] < to; next++) {
      rest.up(at, parts[next][0])
      at = parts[next][1]
    }
    rest.up(at, to)
  }
  return rest.build()
}

/** Collects ranges in ascending or in descending order; neighbours grow together. */
export interface RangesBuilder {
  /** Adds `[from, to)`, which lies above all others (`up`) or below all others (`down`). */
  up (from: number, to: number): void
  down (from: number, to: number): void
  build (): Ranges
}

/** A builder is used with `up` or with `down` only. */
export function rangesBuilder (): RangesBuilder {
  const bounds: number[] = []
  let descending = false
  return {
    up (from, to) {
      if (from >= to) return
      if (bounds.length > 0 && bounds[bounds.length - 1] === from) bounds[bounds.length - 1] = to
      else bounds.push(from, to)
    },
    down (from, to) {
      if (from >= to) return
      descending = true
      if (bounds.length > 0 && bounds[bounds.length - 1] === to) bounds[bounds.length - 1] = from
      else bounds.push(to, from)
    },
    build: () => rangesOf(descending ? bounds.reverse() : bounds)
  }
}

/** `bounds` holds the start and the end of each range in turn. */
function rangesOf (bounds: readonly number[]): Ranges {
  let count = 0
  for (let i = 0; i < bounds.length; i += 2) count += bounds[i + 1] - bounds[i]
  return {
    count,
    covers: (from, to) => covers(bounds, from, to),
    * [Symbol.iterator] () {
      for (let i = 0; i < bounds.length; i += 2) yield [bounds[i], bounds[i + 1]]
    }
  }
}

function covers (bounds: readonly number[], from: number, to: number): boolean {
  let low = 0
  let high = bounds.length / 2
  while (low < high) {
    const middle = (low + high) >>> 1
    if (bounds[2 * middle + 1] <= from) low = middle + 1
    else high = middle
  }
  return from >= to || (2 * low < bounds.length && bounds[2 * low] <= from && to <= bounds[2 * low + 1])
}
