import type { ListOp } from '../protocol/op.js'
import { type Priority, beats, kept } from './order.js'

export interface Claim { by: Priority, kind: 'list_insert' | 'list_move' | 'list_delete' }

/** What the operations on one item of a list have come to (spec/wire-format.md §8). */
export interface Standing {
  inserted: boolean
  deleted: boolean
  position: string
  /** What set the position; null before anything did. */
  placed: Claim | null
  /** The strongest deletion, for conflict events. */
  removed: Claim | null
}

export type Tell = (kind: 'list_move_lost' | 'list_delete_won', winner: Claim, loser: Claim) => void

export const UNTOUCHED: Readonly<Standing> = { inserted: false, deleted: false, position: '', placed: null, removed: null }

export const silent: Tell = () => {}

/** Takes in one operation. The outcome of several does not depend on their order, but for those of one node. */
export function change (item: Standing, by: Priority, op: ListOp, tell: Tell): void {
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

export function isVisible (item: Standing): boolean {
  return item.inserted && !item.deleted
}

/** An item that local operations write: its standing without them, and they themselves in order. */
export interface Tentative { confirmed: Standing, local: { by: Priority, op: ListOp }[] }

/** What an item comes to with its local operations. */
export function standingOf ({ confirmed, local }: Tentative): Standing {
  const standing = { ...confirmed }
  for (const { by, op } of local) change(standing, by, op, silent)
  return standing
}
