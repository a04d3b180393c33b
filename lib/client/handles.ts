import type { ChangeEvent } from './event.js'
import type { Core } from './core.js'
import type { Json } from './json.js'
import { type ListHandle, createList } from './list.js'
import { type ListReading, readList } from './list-read.js'
import { type MapHandle, createMap } from './map.js'
import { type MapReading, readMap, sourceOf } from './map-read.js'
import { type TextHandle, type TextReading, createText } from './text.js'
import { type UndoManager, type UndoOptions, createUndo } from './undo.js'
import { type WorkspaceOptions, createWorkspace } from './workspace.js'

/** What a document offers of its content, besides blobs and presence. Handles are cheap; the same name gives the same content. */
export interface Handles {
  map<Shape extends object = Record<string, Json>> (namespace: string): MapHandle<Shape>
  text (key: string): TextHandle
  list<T = Json> (key: string): ListHandle<T>
  /** Runs `fn`; what it writes makes one change event and one undo step. */
  transact<R> (fn: () => R, options?: { origin?: unknown }): R
  undoManager (options?: UndoOptions): UndoManager
  /** Calls `listen` once for every applied batch and every transaction that changed something. Returns how to stop. */
  onChange (listen: (event: ChangeEvent) => void): () => void
  /** Turns what was typed into nodes, so that it is stored and sent. */
  flush (): void
  /** Whether something was typed that is no node yet. */
  readonly unflushed: boolean
  /** What the server has confirmed, without what is still under way. */
  readonly canonical: Canonical
  close (): void
}

export interface Canonical {
  map<Shape extends object = Record<string, Json>> (namespace: string): MapReading<Shape>
  text (key: string): TextReading
  list<T = Json> (key: string): ListReading<T>
}

/** Creates the handles of a replica; once for each. */
export function createHandles (core: Core, options: WorkspaceOptions = {}): Handles {
  const workspace = createWorkspace(core, options)
  return {
    map: (namespace) => createMap(workspace, namespace),
    text: (key) => createText(workspace, key),
    list: (key) => createList(workspace, key),
    transact: workspace.transact,
    undoManager: (undo) => createUndo(workspace, undo),
    onChange: workspace.feed.on,
    flush: workspace.flush,
    get unflushed () { return workspace.unflushed },
    canonical: canonicalOf(core),
    close: workspace.close
  }
}

function canonicalOf ({ views }: Core): Canonical {
  const source = sourceOf(() => views.canonical)
  return {
    map: (namespace) => readMap(namespace, source),
    text: (key) => views.canonical.text(key),
    list: (key) => readList(key, () => views.canonical.list(key), source.held)
  }
}
