/** What tells one version of a file from another without reading it. */
export interface Stamp { size: number, mtime: bigint, inode: bigint }

/** What reading a file once has shown. `size` is the length of the plain content; meaningless when it is not sound. */
export interface Verdict { sound: boolean, size: number }

export function sameStamp (a: Stamp, b: Stamp): boolean {
  return a.size === b.size && a.mtime === b.mtime && a.inode === b.inode
}

/**
 * Remembers which files were verified, so that steady reads need not hash again. A file that was replaced or written to has another
 * stamp and is looked at anew. The longest unused entry goes first: `limit` entries of about 250 bytes each.
 */
export interface Verdicts {
  get (name: string, stamp: Stamp): Verdict | null
  set (name: string, stamp: Stamp, verdict: Verdict): void
}

export function createVerdicts (limit: number): Verdicts {
  const entries = new Map<string, { stamp: Stamp, verdict: Verdict }>()
  return {
    get (name, stamp) {
      const entry = entries.get(name)
      if (entry === undefined || !sameStamp(entry.stamp, stamp)) return null
      entries.delete(name)
      entries.set(name, entry)
      return entry.verdict
    },
    set (name, stamp, verdict) {
      entries.delete(name)
      entries.set(name, { stamp, verdict })
      if (entries.size <= limit) return
      const [oldest] = entries.keys()
      entries.delete(oldest)
    }
  }
}
