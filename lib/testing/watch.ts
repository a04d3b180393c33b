/** Waiting for something that events bring about. Nothing polls: every event calls `changed`, which looks again. */
export interface Watch {
  changed (): void
  /**
   * Resolves with the first value of `look` that is neither false, null nor undefined. Rejects after `within` milliseconds with what
   * was waited for and `situation()`; rejects at once, with the thrown value as `cause`, when `look` throws.
   */
  until<T> (look: () => T | false | null | undefined, what: string, within: number): Promise<T>
}

export function createWatch (situation: () => string): Watch {
  const waiters = new Set<() => void>()
  return {
    changed () { for (const look of [...waiters]) look() },
    until: async <T>(look: () => T | false | null | undefined, what: string, within: number) => await new Promise<T>((resolve, reject) => {
      const late = setTimeout(() => settle(() => { reject(new Error(`${what}: not within ${within} ms; ${situation()}`)) }), within)
      const again = (): void => {
        try {
          const value = look()
          if (value !== false && value !== null && value !== undefined) settle(() => { resolve(value) })
        } catch (error) {
          settle(() => { reject(new Error(`${what}: ${String(error)}`, { cause: error })) })
        }
      }
      const settle = (end: () => void): void => {
        clearTimeout(late)
        waiters.delete(again)
        end()
      }
      waiters.add(again)
      again()
    })
  }
}
