import { fromHex, toHex } from '../protocol/hex.js'
import type { Op } from '../protocol/op.js'
import type { Held } from '../state/map.js'
import type { List } from '../state/list.js'
import type { Place } from './entry.js'
import { ABSENT } from './json.js'
import { contentKey } from './key.js'
import { heldIn, mapOp } from './stage.js'
import type { Workspace } from './workspace.js'

export const ITEM_BYTES = 16

/** The bytes of an item id. Throws TypeError for no string and RangeError for what is no id. */
export function itemBytes (item: unknown): Uint8Array {
  if (typeof item !== 'string') throw new TypeError('an item id is a string')
  const bytes = fromHex(item, ITEM_BYTES)
  if (bytes === null) throw new RangeError('an item id has 32 hexadecimal digits')
  return bytes
}

/** Inserts new items at an index, each with its content in a node of its own. Answers their ids. */
export function insertItems (workspace: Workspace, key: string, index: number, contents: readonly Held[]): string[] {
  const { positions, moves } = workspace.document.list(key).positionsFor(index, contents.length)
  makeRoom(workspace, key, moves)
  return positions.map((position, i) => {
    const bytes = workspace.randomBytes(ITEM_BYTES)
    const item = toHex(bytes)
    const content = contents[i]
    const ops: Op[] = [{ type: 'list-insert', key, item: bytes, position }]
    if (content.value !== undefined) ops.push(mapOp(contentKey(key, item), content))
    workspace.write(ops, { kind: 'list-insert', key, item })
    return item
  })
}

/** Takes an item out together with its content. `place` is where it stands. */
export function deleteItem (workspace: Workspace, key: string, item: string, place: Place): void {
  const path = contentKey(key, item)
  workspace.stage.drop(path)
  const content = heldIn(workspace.document.map, path)
  const ops: Op[] = [{ type: 'list-delete', key, item: itemBytes(item) }]
  if (content.value !== undefined) ops.push(mapOp(path, ABSENT))
  workspace.write(ops, { kind: 'list-delete', key, item, content, place })
}

/** Moves a shown item; `index` counts without it. */
export function moveItem (workspace: Workspace, key: string, item: string, index: number): void {
  const list = workspace.document.list(key)
  const bytes = itemBytes(item)
  const from = list.indexOf(bytes)
  const to = Math.min(index, list.length - 1)
  if (from === to) return
  const place = placeAt(list, from)
  const { positions: [position], moves } = list.positionsFor(to, 1, bytes)
  makeRoom(workspace, key, moves)
  workspace.write([{ type: 'list-move', key, item: bytes, position }], { kind: 'list-move', key, item, place })
}

/** Moves that keep the order are nothing to undo. */
function makeRoom (workspace: Workspace, key: string, moves: readonly { item: Uint8Array, position: string }[]): void {
  for (const { item, position } of moves) workspace.write([{ type: 'list-move', key, item, position }])
}

export function placeAt (list: List, index: number): Place {
  const items = list.items()
  const name = (at: number): string | null => at < 0 || at >= items.length ? null : toHex(items[at].id)
  return { left: name(index - 1), right: name(index + 1), position: items[index].position }
}
