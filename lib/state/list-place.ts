import { REBALANCE_LENGTH, between, following, isPosition, preceding, spread } from './fractional-index.js'
import type { ListItem } from './list.js'
import { compareUtf8 } from './order.js'

/** Positions for new neighbours, and where items that stand in the way must move first. */
export interface Placement {
  positions: string[]
  moves: { item: Uint8Array, position: string }[]
}

/** Positions are respread until the longest has this length, so that a place where many are inserted is not respread for each. */
const RELAXED_LENGTH = REBALANCE_LENGTH * 3 / 4

/** Foreign positions and those nothing fits before are passed over: another writer's mistake must not block this one. */
export function positionAt (items: readonly ListItem[], index: number): string {
  let left: string | null = null
  for (let i = Math.min(index, items.length) - 1; i >= 0 && left === null; i--) {
    if (isPosition(items[i].position)) left = items[i].position
  }
  let at = index
  while (at < items.length && !fits(left, items[at].position)) at++
  return between(left, items[at]?.position ?? null)
}

/**
 * Positions for `count` items between the items at `index - 1` and `index`. Where none fit, because the two share a position or one
 * is foreign, as few items as possible move; where they would be longer than REBALANCE_LENGTH, as many as it takes
 * (spec/client.md §6.4).
 */
export function placementAt (items: readonly ListItem[], index: number, count: number): Placement {
  if (count === 0) return { positions: [], moves: [] }
  let [from, to] = smallestWindow(items, index)
  let all = respread(items, from, to, count, REBALANCE_LENGTH)
  for (let more = 1; all === null; more *= 2) {
    from = Math.max(0, from - more)
    while (from > 0 && !isPosition(items[from - 1].position)) from--
    to = Math.min(items.length, to + more)
    while (to < items.length && !isPosition(items[to].position)) to++
    all = respread(items, from, to, count, RELAXED_LENGTH)
  }
  const moves: Placement['moves'] = []
  for (let at = from; at < to; at++) {
    const position = all[at - from + (at < index ? 0 : count)]
    if (position !== items[at].position) moves.push({ item: items[at].id, position })
  }
  return { positions: all.slice(index - from, index - from + count), moves }
}

/** New positions for the items of a window and `count` more; null when they would be too long and the window can grow. */
function respread (items: readonly ListItem[], from: number, to: number, count: number, bound: number): string[] | null {
  const left = leftOf(items, from)
  const right = items[to]?.position ?? null
  const whole = from === 0 && to === items.length
  if (!whole && positionsBetween(left, right, 1)[0].length > bound) return null
  const all = positionsBetween(left, right, to - from + count)
  return whole || all.every(({ length }) => length <= bound) ? all : null
}

/** Lists mostly grow one by one at an end. */
function positionsBetween (left: string | null, right: string | null, count: number): string[] {
  if (count === 1 && left !== null && right === null) return [following(left)]
  if (count === 1 && left === null && right !== null) return [preceding(right)]
  return spread(left, right, count)
}

const leftOf = (items: readonly ListItem[], at: number): string | null => at === 0 ? null : items[at - 1].position

/** The shortest run of items around an index whose neighbours leave room between them. */
function smallestWindow (items: readonly ListItem[], index: number): [from: number, to: number] {
  const hasRoom = (from: number, to: number): boolean => to === items.length || fits(leftOf(items, from), items[to].position)
  let best: [number, number] = [0, items.length]
  let to = -1
  for (let from = index; from >= 0 && index - from < best[1] - best[0]; from--) {
    const left = leftOf(items, from)
    if (left !== null && !isPosition(left)) continue
    if (to < 0) {
      to = index
      while (!hasRoom(from, to)) to++
    }
    // The further left the window starts, the earlier it can end.
    for (let less = to - 1; less >= index && (hasRoom(from, less) || !isPosition(items[less].position)); less--) {
      if (isPosition(items[less].position)) to = less
    }
    if (to - from < best[1] - best[0]) best = [from, to]
  }
  return best
}

/** Whether a position has room below it, above `left`. */
function fits (left: string | null, right: string): boolean {
  if (!isPosition(right) || (left !== null && compareUtf8(left, right) >= 0)) return false
  const rest = left !== null && right.startsWith(left) ? right.slice(left.length) : right
  return /[^0]/.test(rest)
}
