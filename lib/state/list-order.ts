import { compareBytes } from '../protocol/bytes.js'
import { isVisible, type Standing } from './list-item.js'
import { compareUtf8 } from './order.js'

export interface Item extends Standing {
  id: Uint8Array
  /** Whether the order has it, and the position under which it has it. */
  listed: boolean
  at: string
}

/** The visible items of a list in their order, brought up to date when it is asked for. */
export interface ListOrder {
  /** Notes that an item may stand elsewhere, or no longer. */
  touch (item: Item): void
  items (): readonly Item[]
  /** Where an item stands, or -1. */
  indexOf (item: Item): number
}

/** Up to so many changed items are moved one by one; for more, everything is sorted again. */
const FEW = 64

export function createListOrder (): ListOrder {
  let shown: readonly Item[] = []
  let stale: Set<Item> | null = null

  /** Whoever holds the former items keeps them as they were. */
  function items (): readonly Item[] {
    if (stale === null) return shown
    shown = stale.size <= FEW ? moved(shown, stale) : sorted(shown, stale)
    stale = null
    return shown
  }

  return {
    touch (item) { stale = (stale ?? new Set()).add(item) },
    items,
    indexOf (item) {
      const all = items()
      return item.listed ? placeOf(all, item.at, item.id) : -1
    }
  }
}

function moved (shown: readonly Item[], stale: ReadonlySet<Item>): Item[] {
  const out = [...shown]
  for (const item of stale) {
    if (item.listed) out.splice(placeOf(out, item.at, item.id), 1)
  }
  for (const item of stale) {
    place(item)
    if (item.listed) out.splice(placeOf(out, item.at, item.id), 0, item)
  }
  return out
}

function sorted (shown: readonly Item[], stale: ReadonlySet<Item>): Item[] {
  for (const item of stale) place(item)
  const out = [...shown.filter((item) => !stale.has(item)), ...[...stale].filter(({ listed }) => listed)]
  return out.sort((a, b) => compareUtf8(a.at, b.at) || compareBytes(a.id, b.id))
}

function place (item: Item): void {
  item.listed = isVisible(item)
  item.at = item.position
}

/** Where an item stands, or would stand. */
function placeOf (items: readonly Item[], position: string, id: Uint8Array): number {
  let low = 0
  let high = items.length
  while (low < high) {
    const middle = low + high >>> 1
    const { at, id: other } = items[middle]
    if ((compareUtf8(at, position) || compareBytes(other, id)) < 0) low = middle + 1
    else high = middle
  }
  return low
}
