import type { Change } from '../state/change.js'
import type { LwwMap } from '../state/map.js'
import type { Splice } from '../state/text.js'
import { equalBytes } from '../protocol/bytes.js'
import type { ChangeEvent, EventSource, ListChange, MapChange } from './event.js'
import { decodeValue } from './json.js'
import { itemOf } from './key.js'

export interface Cause { source: EventSource, origin?: unknown }

/** Adds a later change to an earlier one. Splices of `but` are left out: its observers know already. */
export function addChange (to: Change, { maps, lists, texts }: Change, but: string | null = null): void {
  for (const [key, old] of maps) if (!to.maps.has(key)) to.maps.set(key, old)
  for (const key of lists) to.lists.add(key)
  for (const [key, splices] of texts) if (key !== but) addSplices(to, key, splices)
}

/** Adds splices of one text to a change made by `noChange`, which keeps lists of its own: they grow in place. */
export function addSplices ({ texts }: Change, key: string, splices: readonly Splice[]): void {
  const known = texts.get(key)
  if (known === undefined) texts.set(key, [...splices])
  else for (const splice of splices) known.push(splice)
}

export function noChange (): Change {
  return { maps: new Map(), lists: new Set(), texts: new Map() }
}

/** A change as its listeners get it, or null when there is nothing to tell. Contents of list items belong to their lists. */
export function eventOf (change: Change, map: LwwMap, { source, origin }: Cause): ChangeEvent | null {
  const maps: MapChange[] = []
  const lists = new Map<string, { key: string, order: boolean, updated: string[] }>()
  for (const key of change.lists) lists.set(key, { key, order: true, updated: [] })
  for (const [path, held] of change.maps) {
    const { value, blob } = { value: map.get(path), blob: map.isBlob(path) }
    if (path.startsWith('\0') || (blob === held.blob && same(value, held.old))) continue
    const content = itemOf(path)
    if (content === null) maps.push(mapChange(path, { value, blob }, { value: held.old, blob: held.blob }))
    else entry(lists, content.list).updated.push(content.item)
  }
  const texts = [...change.texts].map(([key, splices]) => ({ key, splices }))
  if (maps.length + texts.length + lists.size === 0) return null
  return { source, ...(origin === undefined ? {} : { origin }), maps, texts, lists: [...lists.values()] }
}

function entry (lists: Map<string, ListChange & { updated: string[] }>, key: string): { updated: string[] } {
  let one = lists.get(key)
  if (one === undefined) lists.set(key, one = { key, order: false, updated: [] })
  return one
}

/** Values are decoded when they are looked at: at start-up there may be a hundred thousand. */
function mapChange (path: string, now: Parameters<typeof decodeValue>[0], old: Parameters<typeof decodeValue>[0]): MapChange {
  return {
    path,
    key: path.slice(path.lastIndexOf('/') + 1),
    op: now.value === undefined ? 'delete' : now.blob ? 'blob' : 'set',
    get value () { return decodeValue(now) },
    get old () { return decodeValue(old) }
  }
}

function same (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b)
}
