import type { Clock } from '../clock.js'
import { NodalmergeError } from '../errors.js'
import type { Readable } from './readable.js'
import type { Status } from './status.js'

export interface WaitOptions {
  /** Milliseconds; without it there is no end to waiting. */
  timeout?: number
  signal?: AbortSignal
}

/**
 * Resolves once the status is as wanted. Rejects with `client.timeout`, `client.denied` while the server refuses, `client.closed`, or
 * with the signal's reason.
 */
export function waitFor (status: Readable<Status>, wanted: (status: Status) => boolean, clock: Clock, options: WaitOptions = {}): Promise<void> {
  const { timeout, signal } = options
  return new Promise((resolve, reject) => {
    const stops: (() => void)[] = []
    const end = (settle: () => void): void => {
      for (const stop of stops) stop()
      settle()
    }
    const fail = (error: unknown): void => { end(() => { reject(error) }) }
    const look = (now: Status): boolean => {
      if (wanted(now)) end(resolve)
      else if (now.connection === 'closed') fail(new NodalmergeError('client.closed'))
      else if (now.connection === 'denied') fail(new NodalmergeError('client.denied', now.reason))
      else return false
      return true
    }
    if (signal?.aborted === true) { fail(signal.reason); return }
    if (look(status.get())) return
    stops.push(status.subscribe(look))
    if (timeout !== undefined) stops.push(clock.after(timeout, () => { fail(new NodalmergeError('client.timeout')) }))
    if (signal !== undefined) {
      const aborted = (): void => { fail(signal.reason) }
      signal.addEventListener('abort', aborted)
      stops.push(() => { signal.removeEventListener('abort', aborted) })
    }
  })
}
