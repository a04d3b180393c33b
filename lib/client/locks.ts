/** What is used of the Web Locks API: `navigator.locks` has this shape. */
export interface LockManager {
  request (name: string, options: LockOptions, held: (lock: object | null) => Promise<void> | undefined): Promise<unknown>
}

export interface LockOptions { mode?: 'exclusive' | 'shared', ifAvailable?: boolean }

/** Gives a lock back; resolves when others can have it. */
export type Unlock = () => Promise<void>

export interface Locks {
  /** Resolves to null when it is not to be had: taken while `ifAvailable`, or locks are not allowed on this page. */
  hold (name: string, options?: LockOptions): Promise<Unlock | null>
}

/** Locks of the platform, which hold across all tabs of an origin and are given back when a tab is closed or crashes. */
export function locksOf (manager: LockManager): Locks {
  return {
    hold: (name, options = {}) => new Promise((resolve) => {
      const done = manager.request(name, options, (lock) => {
        if (lock === null) return undefined
        return new Promise((_resolve) => {
          resolve(async () => {
            _resolve()
            await done
          })
        })
      })
      // Without a lock the request ends at once; with one this comes long after the answer above.
      done.then(() => resolve(null), () => resolve(null))
    })
  }
}

/** The platform's locks: in browsers on https and localhost pages, and in newer versions of Node.js. */
export function platformLocks (): Locks | null {
  const manager = (globalThis as { navigator?: { locks?: LockManager } }).navigator?.locks
  return manager === undefined ? null : locksOf(manager)
}

/** For a page that cannot see other tabs: no lock is ever had, so that everybody writes with a seed of their own. */
export const noLocks: Locks = { hold: async () => null }

interface Waiting { shared: boolean, take: () => void }
interface Held { shared: number, exclusive: boolean, waiting: Waiting[] }

/** Locks within one storage object, for platforms whose processes do not share storage. */
export function createLocks (): Locks {
  const names = new Map<string, Held>()

  function free (held: Held, shared: boolean): boolean {
    return !held.exclusive && (shared || held.shared === 0)
  }

  function take (held: Held, shared: boolean): void {
    if (shared) held.shared++
    else held.exclusive = true
  }

  function give (name: string, held: Held, shared: boolean): void {
    if (shared) held.shared--
    else held.exclusive = false
    while (held.waiting.length > 0 && free(held, held.waiting[0].shared)) held.waiting.shift()?.take()
    if (held.shared === 0 && !held.exclusive) names.delete(name)
  }

  return {
    async hold (name, { mode = 'exclusive', ifAvailable = false } = {}) {
      const shared = mode === 'shared'
      const held = names.get(name) ?? { shared: 0, exclusive: false, waiting: [] }
      names.set(name, held)
      if (held.waiting.length === 0 && free(held, shared)) take(held, shared)
      else if (ifAvailable) return null
      else await new Promise<void>((resolve) => held.waiting.push({ shared, take: () => { take(held, shared); resolve() } }))
      return async () => { give(name, held, shared) }
    }
  }
}
