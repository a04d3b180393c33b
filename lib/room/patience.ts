/**
 * Growing delays for somebody who keeps coming back with what was refused before: clients of the original project retry every second
 * for ever (spec/client.md §5.13 S18) or resend at once (spec/session-protocol.md §2.2).
 */
export interface Patience {
  /** Notes one more failure of `key` and answers how long to wait before replying, in milliseconds. */
  strain (key: string): number
  forget (key: string): void
}

const FIRST_MS = 250
/** No delay exceeds this (design §5 row 14). */
const LONGEST_MS = 30_000
/** Keys remembered; the one that failed longest ago is forgotten first. */
const REMEMBERED = 1_000

/** `free` failures pass without delay. */
export function createPatience (free: number): Patience {
  const failures = new Map<string, number>()
  return {
    strain (key) {
      const count = (failures.get(key) ?? 0) + 1
      failures.delete(key)
      failures.set(key, count)
      for (const oldest of failures.keys()) {
        if (failures.size <= REMEMBERED) break
        failures.delete(oldest)
      }
      return count <= free ? 0 : Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(count - free - 1, 7))
    },
    forget (key) { failures.delete(key) }
  }
}
