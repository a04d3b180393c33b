import type { Dag } from '../dag/dag.js'
import { everyKey } from '../protocol/node.js'
import { subscriptionGlobBytes } from '../protocol/glob.js'
import type { Run } from './frame.js'

/**
 * Which nodes a session wants (spec/session-protocol.md §2.8). A kept node brings along its ancestors that the session has not been
 * given, because a client drops what it cannot attach (design §5 row 12).
 */
export interface Subscription {
  readonly patterns: readonly string[]
  /** Nothing is filtered; the other members need not be asked. */
  readonly everything: boolean
  /** Replaces the patterns; what was withheld so far stays withheld until a kept node needs it. */
  replace (patterns: readonly string[]): void
  /** Notes that the session lacks these nodes. */
  lack (runs: Iterable<Run>): void
  /** Of the run and what it needs, the nodes to deliver, ascending; the rest is noted as lacking. */
  select (run: Run): number[]
}

export function createSubscription (dag: Dag, initial: readonly string[]): Subscription {
  let patterns = [...initial]
  let everything = isEverything(patterns)
  let matchers = patterns.map(subscriptionGlobBytes)
  const lacking = createMarks()

  function wanted (index: number): boolean {
    const node = dag.view(index)
    if (node.opCount === 0 || node.sentinel) return true
    return !everyKey(node, (bytes, start, end) => !matchers.some((matches) => matches(bytes, start, end)))
  }

  function collect (index: number, into: number[]): void {
    const stack = [index]
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      into.push(next)
      for (const parent of dag.parents(next)) if (lacking.clear(parent)) stack.push(parent)
    }
  }

  return {
    get patterns () { return patterns },
    get everything () { return everything },
    replace (next) {
      patterns = [...next]
      everything = isEverything(patterns)
      matchers = patterns.map(subscriptionGlobBytes)
    },
    lack (runs) {
      for (const [from, to] of runs) for (let i = from; i < to; i++) lacking.set(i)
    },
    select ([from, to]) {
      const chosen: number[] = []
      for (let i = from; i < to; i++) {
        if (wanted(i)) {
          lacking.clear(i)
          collect(i, chosen)
        } else {
          lacking.set(i)
        }
      }
      return chosen.sort((a, b) => a - b)
    }
  }
}

function isEverything (patterns: readonly string[]): boolean {
  return patterns.length === 0 || patterns.includes('**')
}

/** Consecutive indices as runs. */
export function * asRuns (indices: readonly number[]): Generator<Run> {
  let i = 0
  while (i < indices.length) {
    const from = indices[i]
    let to = from + 1
    while (++i < indices.length && indices[i] === to) to++
    yield [from, to]
  }
}

/** A set of small numbers at one bit each. */
function createMarks (): { set (i: number): void, clear (i: number): boolean } {
  let bits = new Uint8Array(0)
  return {
    set (i) {
      if (i >> 3 >= bits.length) {
        const grown = new Uint8Array(Math.max(64, bits.length * 2, (i >> 3) + 1))
        grown.set(bits)
        bits = grown
      }
      bits[i >> 3] |= 1 << (i & 7)
    },
    clear (i) {
      const held = (bits[i >> 3] & 1 << (i & 7)) !== 0
      if (held) bits[i >> 3] &= ~(1 << (i & 7))
      return held
    }
  }
}
