import { equalBytes } from '../protocol/bytes.js'
import type { Held } from '../state/map.js'
import type { Entry } from './entry.js'
import { contentKey } from './key.js'
import { itemBytes } from './list-write.js'
import type { Workspace } from './workspace.js'

/** What an undo left alone: somebody else wrote over it, or deleted the item, or the characters are not known any more. */
export interface Skipped { kind: 'map' | 'text' | 'list', key: string, item?: string, reason: 'overwritten' | 'deleted' | 'unknown' }

/** Brings back the value before, unless the key shows something else than this writer left there. */
export function undoMap (workspace: Workspace, { key, before, after }: Extract<Entry, { kind: 'map' }>): Skipped | null {
  if (!isOurs(workspace, key, after)) return { kind: 'map', key, reason: 'overwritten' }
  workspace.put(key, before)
  return null
}

/** The same for the content of an item, which may have come back under another id. */
export function undoContent (workspace: Workspace, entry: Extract<Entry, { kind: 'list-content' }>): Skipped | null {
  const { key, before, after } = entry
  const item = workspace.aliases.item(key, entry.item)
  if (!workspace.document.list(key).has(itemBytes(item))) return { kind: 'list', key, item, reason: 'deleted' }
  const path = contentKey(key, item)
  if (!isOurs(workspace, path, after)) return { kind: 'list', key, item, reason: 'overwritten' }
  workspace.put(path, before, { list: key, item })
  return null
}

function isOurs ({ stage, document, core }: Workspace, path: string, after: Held): boolean {
  const now = stage.held(path)
  if (now.blob !== after.blob || !sameValue(now.value, after.value)) return false
  if (stage.has(path)) return true
  const writer = document.map.writer(path)
  return writer !== undefined && equalBytes(writer.author, core.author)
}

function sameValue (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b)
}
