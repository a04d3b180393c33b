import { compareBytes } from '../protocol/bytes.js'
import { toHex } from '../protocol/hex.js'
import type { ListOp } from '../protocol/op.js'
import { type OnConflict, report } from './conflict.js'
import { between, isPosition } from './fractional-index.js'
import { type Priority, beats, compareUtf8, kept, neverWins } from './order.js'

/** An item where a list shows it. The bytes are the list's own: do not change them. */
export interface ListItem { id: Uint8Array, position: string }

/** One ordered list of item ids (spec/wire-format.md §8). What the items hold is kept elsewhere, usually in the map. */
export interface List {
  /** Applies one operation. Returns whether the visible list may have changed. */
  apply (by: Priority, op: ListOp): boolean
  /** The visible items in order: by position, then by id. */
  items (): readonly ListItem[]
  readonly length: number
  has (item: Uint8Array): boolean
  /**
   * The position for an item that shall stand at `index`; `moving` names the item when it is in the list already and leaves its
   * place. Beyond the end means at the end. Between two equal positions there is none: the item comes after all that share it.
   */
  positionFor (index: number, moving?: Uint8Array): string
}

interface Item {
  id: Uint8Array
  inserted: boolean
  deleted: boolean
  position: string
  /** What set the position; null before anything did. */
  placed: Claim | null
  /** The strongest deletion, for conflict events. */
  removed: Claim | null
}

interface Claim { by: Priority, kind: 'list_insert' | 'list_move' | 'list_delete' }

type Tell = (kind: 'list_move_lost' | 'list_delete_won', winner: Claim, loser: Claim) => void

/** Creates an empty list. `key` names it in conflict events. */
export function createList (key: string, onConflict?: OnConflict): List {
  const all = new Map<string, Item>()
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

  return {
    apply (by, op) {
      if (neverWins(by)) return false
      const item = itemOf(op.item)
      const was = isVisible(item)
      const position = item.position
      change(item, by, op, (kind, winner, loser) => {
        if (onConflict === undefined) return
        const shown = ({ by, kind }: Claim) => ({ by, op: { kind, item_id: [...op.item] } })
        report(onConflict, kind, `${key}#${toHex(op.item)}`, shown(winner), shown(loser))
      })
      if (was === isVisible(item) && (!was || position === item.position)) return false
      stale = (stale ?? new Set()).add(item)
      return true
    },
    items,
    get length () { return items().length },
    has: (id) => {
      const item = all.get(toHex(id))
      return item !== undefined && isVisible(item)
    },
    positionFor (index, moving) {
      if (!Number.isSafeInteger(index) || index < 0) throw new RangeError('an index is a non-negative integer')
      const name = moving && toHex(moving)
      return positionAt(name === undefined ? items() : items().filter((item) => toHex(item.id) !== name), index)
    }
  }
}

function change (item: Item, by: Priority, op: ListOp, tell: Tell): void {
  if (op.type === 'list-delete') {
    const claim: Claim = { by, kind: 'list_delete' }
    if (item.placed !== null) tell('list_delete_won', claim, item.placed)
    if (item.removed === null || beats(by, item.removed.by)) item.removed = { ...claim, by: kept(by) }
    item.deleted = true
    return
  }
  const claim: Claim = { by, kind: op.type === 'list-insert' ? 'list_insert' : 'list_move' }
  if (item.removed !== null) tell('list_delete_won', item.removed, claim)
  if (op.type === 'list-insert') item.inserted = true
  if (item.placed !== null && !beats(by, item.placed.by)) {
    tell('list_move_lost', item.placed, claim)
    return
  }
  if (item.placed !== null) tell('list_move_lost', claim, item.placed)
  item.placed = { ...claim, by: kept(by) }
  item.position = op.position
}

function isVisible (item: Item): boolean {
  return item.inserted && !item.deleted
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
