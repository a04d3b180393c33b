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

/** `count` ascending positions between two, as short as halving makes them: for many items at once and for rebalancing. */
export function spread (left: string | null, right: string | null, count: number): string[] {
  if (count <= 0) return []
  const half = count - 1 >> 1
  const middle = between(left, right)
  return [...spread(left, middle, half), middle, ...spread(middle, right, count - 1 - half)]
}
