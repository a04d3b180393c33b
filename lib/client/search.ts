import type { Clock } from '../clock.js'
import type { Orphans } from './orphans.js'

/** Asks for parents that do not come by themselves, again and again but ever more seldom (spec/client.md §11.2, C2). */
export interface Search {
  /** Orphans have come or gone. */
  look (): void
  close (): void
}

/** How long a parent may be on its way before it is asked for, in milliseconds. */
const ASK_MS = 500
const ASK_MOST_MS = 60_000
/** Ids asked for at once. */
const ASK_IDS = 256

/** `ask` is told which nodes are wanted and how often that did not help yet. */
export function createSearch (orphans: Orphans, clock: Clock, ask: (ids: readonly Uint8Array[], attempt: number) => void): Search {
  let cancel: (() => void) | null = null
  let attempts = 0
  let closed = false

  function look (): void {
    if (orphans.size === 0) attempts = 0
    if (orphans.size === 0 || closed || cancel !== null) return
    cancel = clock.after(Math.min(ASK_MOST_MS, ASK_MS * 2 ** attempts), () => {
      cancel = null
      if (orphans.size > 0) ask(orphans.wanted(ASK_IDS), attempts++)
      look()
    })
  }

  return {
    look,
    close () {
      closed = true
      cancel?.()
    }
  }
}
