/** The blobs used last, by hash, as many as fit into a number of bytes. */
export interface BlobCache {
  get (hash: string): Uint8Array | undefined
  set (hash: string, bytes: Uint8Array): void
  clear (): void
}

export function createBlobCache (maxBytes: number): BlobCache {
  const held = new Map<string, Uint8Array>()
  let size = 0

  function forget (hash: string): void {
    size -= held.get(hash)?.length ?? 0
    held.delete(hash)
  }

  return {
    get (hash) {
      const bytes = held.get(hash)
      if (bytes === undefined) return undefined
      held.delete(hash)
      held.set(hash, bytes)
      return bytes
    },
    set (hash, bytes) {
      forget(hash)
      held.set(hash, bytes)
      size += bytes.length
      // The newest stays, however large: whoever has just put it will ask for it.
      for (const oldest of held.keys()) {
        if (size <= maxBytes || oldest === hash) break
        forget(oldest)
      }
    },
    clear () {
      held.clear()
      size = 0
    }
  }
}
