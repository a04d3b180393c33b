import { equalBytes } from '../protocol/bytes.js'
import { compareUtf8 } from '../state/order.js'
import type { Entry, Place } from './entry.js'
import { deleteItem, insertItems, itemBytes, moveItem, placeAt } from './list-write.js'
import type { Skipped } from './undo-map.js'
import type { Workspace } from './workspace.js'

type Of<K extends Entry['kind']> = Extract<Entry, { kind: K }>

/** Takes an inserted item out again. One that is gone already is nothing to undo. */
export function undoInsert (workspace: Workspace, entry: Of<'list-insert'>): void {
  const item = workspace.aliases.item(entry.key, entry.item)
  const list = workspace.document.list(entry.key)
  const at = list.indexOf(itemBytes(item))
  if (at >= 0) deleteItem(workspace, entry.key, item, placeAt(list, at))
}

/** Brings an item back: a deletion is final, so a new one takes its content and its place (spec/client.md §10.6). */
export function undoDelete (workspace: Workspace, entry: Of<'list-delete'>): { item: string, now: string } | null {
  const { key, content, place } = entry
  const item = workspace.aliases.item(key, entry.item)
  if (workspace.document.list(key).has(itemBytes(item))) return null
  const [now] = insertItems(workspace, key, indexFor(workspace, key, place), [content])
  workspace.aliases.addItem(key, item, now)
  return { item: entry.item, now }
}

/** Moves an item back between its neighbours, unless somebody else has moved it since. */
export function undoMove (workspace: Workspace, entry: Of<'list-move'>): Skipped | null {
  const { key, place } = entry
  const item = workspace.aliases.item(key, entry.item)
  const bytes = itemBytes(item)
  const writer = workspace.document.list(key).writer(bytes)
  if (writer === undefined) return { kind: 'list', key, item, reason: 'deleted' }
  if (!equalBytes(writer.author, workspace.core.author)) return { kind: 'list', key, item, reason: 'overwritten' }
  moveItem(workspace, key, item, indexFor(workspace, key, place, bytes))
  return null
}

/** Where a place is now, counted without the item that goes there: behind its left neighbour, else before the right one. */
function indexFor (workspace: Workspace, key: string, { left, right, position }: Place, moving?: Uint8Array): number {
  const list = workspace.document.list(key)
  const own = moving === undefined ? -1 : list.indexOf(moving)
  const without = (at: number): number => own >= 0 && own < at ? at - 1 : at
  const find = (item: string | null): number => item === null ? -1 : list.indexOf(itemBytes(workspace.aliases.item(key, item)))
  const before = find(left)
  if (before >= 0) return without(before) + 1
  const after = find(right)
  if (after >= 0) return without(after)
  const next = list.items().findIndex((item) => compareUtf8(item.position, position) >= 0)
  return without(next < 0 ? list.length : next)
}
