import { compareBytes, equalBytes } from '../protocol/bytes.js'
import { toHex } from '../protocol/hex.js'
import type { ListOp } from '../protocol/op.js'
import { type OnConflict, report } from './conflict.js'
import { between, isPosition } from './fractional-index.js'
import { type Claim, type Standing, type Tell, type Tentative, UNTOUCHED, change, isUntouched, isVisible, silent, standingOf } from './list-item.js'
import { type Priority, compareUtf8, kept, neverWins } from './order.js'

/** An item where a list shows it. The bytes are the list's own: do not change them. */
export interface ListItem { id: Uint8Array, position: string }

/** One ordered list of item ids (spec/wire-format.md §8). What the items hold is kept elsewhere, usually in the map. */
export interface List {
  /** Applies one operation. Returns whether the visible list may have changed. */
  apply (by: Priority, op: ListOp): boolean
  /** Applies an operation that `retract` can take out again until `confirm`. */
  applyLocal (by: Priority, op: ListOp): boolean
  /** Takes out a local operation: the list is as if it had never been applied. Returns whether the visible list may have changed. */
  retract (by: Priority, op: ListOp): boolean
  /** Makes a local operation one like any other. */
  confirm (by: Priority, op: ListOp): void
  /** The visible items in order: by position, then by id. */
  items (): readonly ListItem[]
  readonly length: number
  has (item: Uint8Array): boolean
  /** Where an item stands, or -1 when it is not shown. */
  indexOf (item: Uint8Array): number
  /**
   * The position for an item that shall stand at `index`; `moving` names the item when it is in the list already and leaves its
   * place. Beyond the end means at the end. Between two equal positions there is none: the item comes after all that share it.
   */
  positionFor (index: number, moving?: Uint8Array): string
}

interface Item extends Standing { id: Uint8Array }

/** Creates an empty list. `key` names it in conflict events. */
export function createList (key: string, onConflict?: OnConflict): List {
  const all = new Map<string, Item>()
  const tentative = new Map<Item, Tentative>()
  let shown: Item[] = []
  let stale: Set<Item> | null = null

  function itemOf (id: Uint8Array): Item {
    const name = toHex(id)
    let item = all.get(name)
    if (item === undefined) all.set(name, item = { id: id.slice(), inserted: false, deleted: false, position: '', placed: null, removed: null })
    return item
  }

  /** Sorts again after changes: nearly sorted input costs little more than a pass. */
  function items (): Item[] {
    if (stale !== null) {
      const changed = stale
      shown = [...shown.filter((item) => !changed.has(item)), ...[...changed].filter(isVisible)].sort(compareItems)
      stale = null
    }
    return shown
  }

  /** Notes that an item has changed, when it shows. */
  function touch (item: Item, was: boolean, position: string): boolean {
    if (was === isVisible(item) && (!was || position === item.position)) return false
    stale = (stale ?? new Set()).add(item)
    return true
  }

  const tell = (op: ListOp): Tell => onConflict === undefined
    ? silent
    : (kind, winner, loser) => {
        const shown = ({ by, kind }: Claim) => ({ by, op: { kind, item_id: [...op.item] } })
        report(onConflict, kind, `${key}#${toHex(op.item)}`, shown(winner), shown(loser))
      }

  function take (item: Item, by: Priority, op: ListOp): boolean {
    const was = isVisible(item)
    const position = item.position
    change(item, by, op, tell(op))
    return touch(item, was, position)
  }

  /** Takes a local operation from its item. */
  function withdraw (by: Priority, op: ListOp): { item: Item, held: Tentative } | null {
    const item = all.get(toHex(op.item))
    const held = item && tentative.get(item)
    const at = held?.local.findIndex((entry) => equalBytes(entry.by.id, by.id)) ?? -1
    if (item === undefined || held === undefined || at < 0) return null
    held.local.splice(at, 1)
    if (held.local.length === 0) tentative.delete(item)
    return { item, held }
  }

  return {
    apply (by, op) {
      if (neverWins(by)) return false
      const item = itemOf(op.item)
      if (tentative.size > 0) {
        const held = tentative.get(item)
        if (held !== undefined) change(held.confirmed, by, op, silent)
      }
      return take(item, by, op)
    },
    applyLocal (by, op) {
      if (neverWins(by)) return false
      const item = itemOf(op.item)
      let held = tentative.get(item)
      if (held === undefined) {
        const { inserted, deleted, position, placed, removed } = item
        tentative.set(item, held = { confirmed: { inserted, deleted, position, placed, removed }, local: [] })
      }
      held.local.push({ by: kept(by), op })
      return take(item, by, op)
    },
    retract (by, op) {
      const withdrawn = withdraw(by, op)
      if (withdrawn === null) return false
      const { item, held } = withdrawn
      const was = isVisible(item)
      const position = item.position
      Object.assign(item, UNTOUCHED, standingOf(held))
      if (isUntouched(item)) all.delete(toHex(item.id))
      return touch(item, was, position)
    },
    confirm (by, op) {
      const withdrawn = withdraw(by, op)
      if (withdrawn !== null) change(withdrawn.held.confirmed, by, op, silent)
    },
    items,
    get length () { return items().length },
    has: (id) => {
      const item = all.get(toHex(id))
      return item !== undefined && isVisible(item)
    },
    indexOf (id) {
      const name = toHex(id)
      return items().findIndex((item) => toHex(item.id) === name)
    },
    positionFor (index, moving) {
      if (!Number.isSafeInteger(index) || index < 0) throw new RangeError('an index is a non-negative integer')
      const name = moving && toHex(moving)
      return positionAt(name === undefined ? items() : items().filter((item) => toHex(item.id) !== name), index)
    }
  }
}

function compareItems (a: Item, b: Item): number {
  return compareUtf8(a.position, b.position) || compareBytes(a.id, b.id)
}

/** Foreign positions and those nothing fits before are passed over: another writer's mistake must not block this one. */
function positionAt (items: readonly Item[], index: number): string {
  let left: string | null = null
  for (let i = Math.min(index, items.length) - 1; i >= 0 && left === null; i--) {
    if (isPosition(items[i].position)) left = items[i].position
  }
  const right = items.slice(index).find((item) => fits(left, item.position))
  return between(left, right === undefined ? null : right.position)
}

/** Whether a position has room below it, above `left`. */
function fits (left: string | null, right: string): boolean {
  if (!isPosition(right) || (left !== null && compareUtf8(left, right) >= 0)) return false
  const rest = left !== null && right.startsWith(left) ? right.slice(left.length) : right
  return /[^0]/.test(rest)
}
