import { equalBytes } from '../protocol/bytes.js'
import { toHex } from '../protocol/hex.js'
import type { Priority } from './order.js'

/** An operation as a conflict event shows it; bytes are arrays of numbers (spec/wire-format.md §7.2). */
export type ConflictOp =
  | { kind: 'set', value: number[] }
  | { kind: 'delete' }
  | { kind: 'set_blob', blob_hash: number[] }
  | { kind: 'list_insert' | 'list_move' | 'list_delete', item_id: number[] }

/** An operation lost to one of a different author (§7.2). Authors are hexadecimal; a list event's key is `list#item`. */
export interface Conflict {
  kind: 'map_overwrite' | 'list_move_lost' | 'list_delete_won'
  key: string
  winner_author: string
  winner_lamport: number
  winner_op: ConflictOp
  loser_author: string
  loser_lamport: number
  loser_op: ConflictOp
}

/** Takes conflicts as they are found, in order of arrival; bounding what is kept of them is up to it. */
export type OnConflict = (conflict: Conflict) => void

export interface Claim { by: Priority, op: ConflictOp }

/** Tells of a conflict, unless winner and loser are the same author. */
export function report (tell: OnConflict, kind: Conflict['kind'], key: string, winner: Claim, loser: Claim): void {
  if (equalBytes(winner.by.author, loser.by.author)) return
  tell({
    kind,
    key,
    winner_author: toHex(winner.by.author),
    winner_lamport: winner.by.lamport,
    winner_op: winner.op,
    loser_author: toHex(loser.by.author),
    loser_lamport: loser.by.lamport,
    loser_op: loser.op
  })
}
