/** Order of byte strings: the first differing byte decides, a prefix comes first (spec/wire-format.md §2.1). */
export function compareBytes (a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length)
  for (let i = 0; i < shared; i++) if (a[i] !== b[i]) return a[i] - b[i]
  return a.length - b.length
}

export function equalBytes (a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compareBytes(a, b) === 0
}

/** Whether `bytes[at .. at + other.length)` equals `other`. */
export function bytesAt (bytes: Uint8Array, at: number, other: Uint8Array): boolean {
  for (let i = 0; i < other.length; i++) if (bytes[at + i] !== other[i]) return false
  return true
}

export function concat (parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** Ids in ascending byte order without repeats. */
export function sortedIds (ids: readonly Uint8Array[]): Uint8Array[] {
  return [...ids].sort(compareBytes).filter((id, i, all) => i === 0 || !equalBytes(id, all[i - 1]))
}
