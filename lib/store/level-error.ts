import { NodalmergeError } from '../errors.js'

/** Whether an error, or what caused it, has this code. */
export function isCode (error: unknown, code: string): boolean {
  if (!(error instanceof Error)) return false
  return ('code' in error && error.code === code) || isCode(error.cause, code)
}

/** The store's error for a failure of its database; `isOpen` is whether the store still wants the database open. */
export function storeError (cause: unknown, isOpen: boolean): NodalmergeError {
  if (cause instanceof NodalmergeError) return cause
  if (isCode(cause, 'LEVEL_LOCKED')) return new NodalmergeError('store.locked', undefined, { cause })
  return new NodalmergeError(isOpen ? 'store.failed' : 'store.closed', undefined, { cause })
}
