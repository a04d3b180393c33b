import { equalBytes } from '../protocol/bytes.js'
import { toHex } from '../protocol/hex.js'
import type { ListOp } from '../protocol/op.js'
import { type OnConflict, report } from './conflict.js'
import { type Claim, type Standing, type Tell, type Tentative, UNTOUCHED, change, isVisible, silent, standingOf } from './list-item.js'
import { type Item, type ListOrder, createListOrder } from './list-order.js'
import { type Placement, placementAt, positionAt } from './list-place.js'
import { type Priority, kept, neverWins } from './order.js'

export type { Placement }

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
  /** The visible items in order: by position, then by id. Later changes make another array. */
  items (): readonly ListItem[]
  readonly length: number
  has (item: Uint8Array): boolean
  /** Where an item stands, or -1 when it is not shown. */
  indexOf (item: Uint8Array): number
  /** The node that gave a shown item its place. */
  writer (item: Uint8Array): Priority | undefined
  /**
   * The position for an item that shall stand at `index`; `moving` names the item when it is in the list already and leaves its
   * place. Beyond the end means at the end. Between two equal positions there is none: the item comes after all that share it.
   */
  positionFor (index: number, moving?: Uint8Array): string
  /**
   * Positions for `count` items that shall stand at `index` and behind one another, and the moves of other items without which
   * there are none: those go first. `moving` as above. Beyond the end means at the end.
   */
  positionsFor (index: number, count: number, moving?: Uint8Array): Placement
}

/** Creates an empty list. `key` names it in conflict events. */
export function createList (key: string, onConflict?: OnConflict): List {
  const tell = (op: ListOp): Tell => onConflict === undefined
    ? silent
    : (kind, winner, loser) => {
        const shown = ({ by, kind }: Claim) => ({ by, op: { kind, item_id: [...op.item] } })
        report(onConflict, kind, `${key}#${toHex(op.item)}`, shown(winner), shown(loser))
      }
  const all = new Map<string, Item>()
  const order = createListOrder()
  const known = (id: Uint8Array): Item | undefined => all.get(toHex(id))

  function without (moving: Uint8Array | undefined): readonly Item[] {
    const at = moving === undefined ? -1 : indexOf(moving)
    return at < 0 ? order.items() : order.items().toSpliced(at, 1)
  }

  function indexOf (id: Uint8Array): number {
    const item = known(id)
    return item === undefined ? -1 : order.indexOf(item)
  }

  return {
    ...writing(all, order, tell),
    items: order.items,
    get length () { return order.items().length },
    has (id) {
      const item = known(id)
      return item !== undefined && isVisible(item)
    },
    indexOf,
    writer (id) {
      const item = known(id)
      return item !== undefined && isVisible(item) ? item.placed?.by : undefined
    },
    positionFor: (index, moving) => positionAt(without(moving), natural(index, 'an index')),
    positionsFor (index, count, moving) {
      const items = without(moving)
      return placementAt(items, Math.min(natural(index, 'an index'), items.length), natural(count, 'a count'))
    }
  }
}

function natural (value: number, name: string): number {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${name} is a non-negative integer`)
  return value
}

type Writing = Pick<List, 'apply' | 'applyLocal' | 'retract' | 'confirm'>

function writing (all: Map<string, Item>, order: ListOrder, tell: (op: ListOp) => Tell): Writing {
  const tentative = new Map<Item, Tentative>()

  function itemOf (id: Uint8Array): Item {
    const name = toHex(id)
    let item = all.get(name)
    if (item === undefined) all.set(name, item = { id: id.slice(), listed: false, at: '', ...UNTOUCHED })
    return item
  }

  /** Lets an item change. Returns whether that may be seen. */
  function touch (item: Item, change: () => void): boolean {
    const was = isVisible(item)
    const position = item.position
    change()
    if (was === isVisible(item) && (!was || position === item.position)) return false
    order.touch(item)
    return true
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
      const held = tentative.size > 0 ? tentative.get(item) : undefined
      if (held !== undefined) change(held.confirmed, by, op, silent)
      return touch(item, () => change(item, by, op, tell(op)))
    },
    applyLocal (by, op) {
      if (neverWins(by)) return false
      const item = itemOf(op.item)
      let held = tentative.get(item)
      if (held === undefined) tentative.set(item, held = { confirmed: standing(item), local: [] })
      held.local.push({ by: kept(by), op })
      return touch(item, () => change(item, by, op, tell(op)))
    },
    retract (by, op) {
      const withdrawn = withdraw(by, op)
      if (withdrawn === null) return false
      const { item, held } = withdrawn
      return touch(item, () => Object.assign(item, standingOf(held)))
    },
    confirm (by, op) {
      const withdrawn = withdraw(by, op)
      if (withdrawn !== null) change(withdrawn.held.confirmed, by, op, silent)
    }
  }
}

function standing ({ inserted, deleted, position, placed, removed }: Item): Standing {
  return { inserted, deleted, position, placed, removed }
}
