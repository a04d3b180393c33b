import type { ByteRange } from '../store/blob-store.js'

const ONE_RANGE = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i

/**
 * Reads a `Range` header for content of `size` bytes (RFC 9110 §14). Units other than bytes, several ranges and what cannot be read
 * count as no range at all, which the RFC permits: the whole content is the answer.
 */
export function parseRange (header: string, size: number): ByteRange | 'whole' | 'unsatisfiable' {
  const [, from, to] = ONE_RANGE.exec(header) ?? ['', '', '']
  if (from === '' && to === '') return 'whole'
  if (from === '') {
    const suffix = Number(to)
    if (suffix === 0) return 'unsatisfiable'
    // Of nothing there is no part that a Content-Range could name.
    return size === 0 ? 'whole' : { first: Math.max(0, size - suffix), last: size - 1 }
  }
  const first = Number(from)
  const last = to === '' ? Infinity : Number(to)
  if (first > last) return 'whole'
  return first >= size ? 'unsatisfiable' : { first, last: Math.min(last, size - 1) }
}
