import { subscriptionGlob } from '../protocol/glob.js'
import type { ClientFrame } from './frame.js'

/**
 * Which keys are followed, and when all there is of them is here. A server that leaves out the rest announces heads that never come, so
 * the frontier cannot tell. It is asked to confirm the patterns instead (spec/session-protocol.md §2.8), again and again as long as
 * history came in between: answers keep their order.
 */
export interface Following {
  /** For `hello`; undefined means everything. */
  readonly patterns: readonly string[] | undefined
  follows (key: string): boolean
  /** Replaces the patterns. Answers whether the server may have left out history that is followed now. Throws TypeError for no patterns. */
  replace (patterns: readonly string[]): boolean
  /** A session began, or its patterns were narrowed. */
  ask (): void
  /** A pack came; `from` names a peer or the server. */
  pack (from: string): void
  /** The server has confirmed the patterns. */
  acknowledged (): void
}

interface Scope { patterns: readonly string[], matchers: ((key: string) => boolean)[] }

/** What a server calls itself in packs of its history (spec/session-protocol.md §2.3). */
const HISTORY = 'server'

/** `arrived` is told once for each `ask`, unless everything is followed. */
export function createFollowing (initial: readonly string[] | undefined, send: (frame: ClientFrame) => boolean, arrived: () => void): Following {
  let followed = scopeOf(initial)
  let asked = 0
  let moving = false

  function probe ({ patterns }: Scope): void {
    moving = false
    asked++
    send({ type: 'subscribe', patterns })
  }

  return {
    get patterns () { return followed?.patterns },
    follows: (key) => followed === null || followed.matchers.some((matches) => matches(key)),
    replace (patterns) {
      if (!Array.isArray(patterns) || patterns.some((pattern) => typeof pattern !== 'string')) throw new TypeError('patterns are texts')
      const former = followed
      followed = scopeOf(patterns)
      return former !== null && (followed === null || !followed.patterns.every((pattern) => former.patterns.includes(pattern)))
    },
    ask () {
      asked = 0
      if (followed !== null) probe(followed)
    },
    pack (from) { if (from === HISTORY) moving = true },
    acknowledged () {
      if (asked === 0 || --asked > 0) return
      if (moving && followed !== null) probe(followed)
      else arrived()
    }
  }
}

/** Null for everything: no pattern, or one that matches all keys. */
function scopeOf (patterns: readonly string[] | undefined): Scope | null {
  if (patterns === undefined || patterns.length === 0 || patterns.includes('**')) return null
  return { patterns: [...patterns], matchers: patterns.map((pattern) => subscriptionGlob(pattern)) }
}
