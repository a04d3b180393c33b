import { createLocks, type LockManager, locksOf } from '../../lib/client/locks.js'

/** A lock manager as browsers have one, shared by the tabs of an origin. */
export function fakeLockManager (): LockManager {
  const locks = createLocks()
  return {
    async request (name, options, held) {
      const unlock = await locks.hold(name, options)
      if (unlock === null) return await held(null)
      try {
        return await held({ name })
      } finally {
        await unlock()
      }
    }
  }
}

export const tabLocks = (manager: LockManager = fakeLockManager()) => locksOf(manager)
