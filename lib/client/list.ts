import type { List } from '../state/list.js'
import type { Cause } from './change.js'
import type { ListChange, ListEvent } from './event.js'
import { type Gestures, createGestures } from './gestures.js'
import { type Json, encodeValue } from './json.js'
import { checkKey, contentKey } from './key.js'
import { type ListReading, checkIndex, readList } from './list-read.js'
import { deleteItem, insertItems, itemBytes, moveItem, placeAt } from './list-write.js'
import type { Workspace } from './workspace.js'

/** One ordered list. Items are named by ids that stay; wrong ids, indices and values throw TypeError or RangeError. */
export interface ListHandle<T = Json> extends ListReading<T> {
  /** Adds an item at the end. Returns its id, as the other insertions do. */
  push (content: T): string
  /** Adds several at the end. */
  pushAll (contents: readonly T[]): string[]
  /** Adds an item at an index, at the end when it lies beyond. */
  insert (index: number, content: T): string
  /** Adds an item next to another, at the end when that is not there. */
  insertAfter (id: string, content: T): string
  insertBefore (id: string, content: T): string
  /** Moves an item; `index` counts without it and is at most the last. Returns whether the item is there. */
  move (id: string, index: number): boolean
  /** Returns whether the item was there. */
  delete (id: string): boolean
  /** Replaces the content of an item. Returns whether the item is there. */
  update (id: string, content: T): boolean
  clear (): void
  /** Calls `listen` when items, their order or their contents changed. Returns how to stop. */
  observe (listen: (event: ListEvent) => void): () => void
  /** What drag and drop does. */
  readonly gestures: Gestures
}

export function createList<T = Json> (workspace: Workspace, key: string): ListHandle<T> {
  checkKey(key)
  const list = (): List => workspace.document.list(key)
  const reading = readList<T>(key, list, (path) => workspace.stage.held(path))

  function insertAll (index: number, contents: readonly T[]): string[] {
    const held = contents.map((content) => encodeValue(content))
    return workspace.transact(() => insertItems(workspace, key, index, held))
  }

  function insert (index: number, content: T): string {
    if (checkIndex(index) < 0) throw new RangeError('an index is not negative')
    return insertAll(Math.min(index, list().length), [content])[0]
  }

  function nextTo (id: string, offset: number, content: T): string {
    const at = list().indexOf(itemBytes(id))
    return insert(at < 0 ? list().length : at + offset, content)
  }

  function move (id: string, index: number): boolean {
    if (checkIndex(index) < 0) throw new RangeError('an index is not negative')
    if (!reading.has(id)) return false
    workspace.transact(() => moveItem(workspace, key, id, index))
    return true
  }

  function remove (id: string): boolean {
    const at = list().indexOf(itemBytes(id))
    if (at >= 0) workspace.transact(() => deleteItem(workspace, key, id, placeAt(list(), at)))
    return at >= 0
  }

  const writing = {
    push: (content: T) => insertAll(list().length, [content])[0],
    pushAll (contents: readonly T[]) {
      if (!Array.isArray(contents)) throw new TypeError('pushAll takes an array')
      return insertAll(list().length, contents)
    },
    insert,
    insertAfter: (id: string, content: T) => nextTo(id, 1, content),
    insertBefore: (id: string, content: T) => nextTo(id, 0, content),
    move,
    delete: remove,
    update (id: string, content: T) {
      const held = encodeValue(content)
      if (!reading.has(id)) return false
      workspace.transact(() => workspace.put(contentKey(key, id), held, { list: key, item: id }))
      return true
    },
    clear () {
      workspace.transact(() => {
        // From the end, so that the neighbours of those still to go are known without asking again.
        const items = list().items()
        const ids = reading.ids()
        for (let i = ids.length - 1; i >= 0; i--) deleteItem(workspace, key, ids[i], { left: ids[i - 1] ?? null, right: null, position: items[i].position })
      })
    },
    observe: (listen: (event: ListEvent) => void) => observeList(workspace, key, reading.ids, listen)
  }
  const together = (run: () => void): void => workspace.transact(run)
  const gestures = createGestures({ get length () { return reading.length }, indexOf: reading.indexOf, move, delete: remove }, together)
  return Object.assign(reading, writing, { gestures })
}

/** Tells what became of the items since the last time; nothing when they came back to where they were. */
function observeList (workspace: Workspace, key: string, ids: () => string[], listen: (event: ListEvent) => void): () => void {
  let seen = ids()
  return workspace.feed.onList(key, (change, cause) => {
    const event = compare(seen, change.order ? ids() : seen, change, cause)
    if (change.order) seen = ids()
    if (event !== null) listen(event)
  })
}

function compare (old: readonly string[], now: readonly string[], change: ListChange, cause: Cause): ListEvent | null {
  const before = new Set(old)
  const after = new Set(now)
  const inserted = now.filter((id) => !before.has(id))
  const deleted = old.filter((id) => !after.has(id))
  const stayed = old.filter((id) => after.has(id))
  const reordered = now.filter((id) => before.has(id)).some((id, i) => id !== stayed[i])
  const updated = change.updated.filter((id) => before.has(id) && after.has(id))
  if (inserted.length + deleted.length + updated.length === 0 && !reordered) return null
  return { ...cause, inserted, deleted, updated, reordered }
}
