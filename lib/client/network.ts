/** What the platform knows of being online. */
export interface Network {
  /** False when there is surely no network; true says little. */
  readonly online: boolean
  /** Calls `changed` after it went up or down. Returns how to stop. */
  watch (changed: () => void): () => void
}

/** The shape of a browser's global object, as far as it is looked at. */
export interface NetworkScope {
  navigator?: { readonly onLine?: boolean } | undefined
  addEventListener? (type: string, listener: () => void): void
  removeEventListener? (type: string, listener: () => void): void
}

/** The browser's own knowledge; elsewhere a network that is always up. */
export function platformNetwork (scope: NetworkScope = globalThis as NetworkScope): Network {
  return {
    get online () { return scope.navigator?.onLine !== false },
    watch (changed) {
      for (const type of ['online', 'offline']) scope.addEventListener?.(type, changed)
      return () => { for (const type of ['online', 'offline']) scope.removeEventListener?.(type, changed) }
    }
  }
}
