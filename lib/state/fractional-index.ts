/**
 * Positions of list items: strings over a 62-character alphabet whose order is their byte order, so that there is always one more
 * between two (spec/wire-format.md §8.1).
 */
const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const MIDDLE = 'V'
const LAST = DIGITS.length - 1

/** Above this length in bytes a list should be rebalanced: its items moved to the positions of `spread`. */
export const REBALANCE_LENGTH = 128

/** Whether a position is not empty and holds only digits. What comes from others may be anything. */
export function isPosition (position: string): boolean {
  return /^[0-9A-Za-z]+$/.test(position)
}

/**
 * A position strictly between `left` and `right`; null stands for the start or the end of the list.
 * Throws RangeError when there is none: `left >= right`, nothing below `right` (it is all zeros), or a foreign character.
 */
export function between (left: string | null, right: string | null): string {
  if (left !== null && !isPosition(left)) throw new RangeError('the left position is not valid')
  if (right !== null && !isPosition(right)) throw new RangeError('the right position is not valid')
  return right === null ? above(left ?? '') : bounded(left ?? '', right)
}

function above (left: string): string {
  for (let i = 0; i < left.length; i++) {
    const digit = DIGITS.indexOf(left[i])
    if (digit < LAST) return left.slice(0, i) + DIGITS[(digit + DIGITS.length) >> 1]
  }
  return left + MIDDLE
}

function bounded (left: string, right: string): string {
  for (let i = 0; i < right.length; i++) {
    const b = DIGITS.indexOf(right[i])
    const out = right.slice(0, i)
    if (i >= left.length) {
      if (b > 0) return out + (b > 1 ? DIGITS[b >> 1] : '0' + MIDDLE)
      continue
    }
    const a = DIGITS.indexOf(left[i])
    if (b < a) break
    if (b - a > 1) return out + DIGITS[(a + b) >> 1]
    if (b - a === 1) return out + left[i] + above(left.slice(i + 1))
  }
  throw new RangeError('there is no position between these two')
}

/** Characters that `following` and `preceding` count in: all but the last are a number, the last leaves room on both sides. */
const STRIDE = 3
const STRIDES = DIGITS.length ** (STRIDE - 1)

/**
 * A position above `left` for a list that grows at its end. Halving what is left, as `between` does, takes a character for every six
 * items; this takes three for 3,844.
 */
export function following (left: string): string {
  let prefix = ''
  while (left.startsWith('zzz', prefix.length)) prefix += 'zzz'
  const n = strideAt(left, prefix.length)
  return n + 1 < STRIDES ? prefix + stride(n + 1) : prefix + 'zzz' + stride(0)
}

/** A position below `right` for a list that grows at its start; `right` must not be all zeros. */
export function preceding (right: string): string {
  let prefix = ''
  while (right.startsWith('000', prefix.length)) prefix += '000'
  const n = strideAt(right, prefix.length)
  return n > 0 ? prefix + stride(n - 1) : prefix + '000' + stride(STRIDES - 1)
}

function strideAt (position: string, at: number): number {
  return DIGITS.indexOf(position[at] ?? '0') * DIGITS.length + DIGITS.indexOf(position[at + 1] ?? '0')
}

function stride (n: number): string {
  return DIGITS[Math.floor(n / DIGITS.length)] + DIGITS[n % DIGITS.length] + MIDDLE
}

/** `count` ascending positions between two, as short as halving makes them: for many items at once and for rebalancing. */
export function spread (left: string | null, right: string | null, count: number): string[] {
  if (count <= 0) return []
  const half = count - 1 >> 1
  const middle = between(left, right)
  return [...spread(left, middle, half), middle, ...spread(middle, right, count - 1 - half)]
}
