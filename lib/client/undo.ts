import { subscriptionGlob } from '../protocol/glob.js'
import type { Entry } from './entry.js'
import { type Skipped, undoContent, undoMap } from './undo-map.js'
import { undoDelete, undoInsert, undoMove } from './undo-list.js'
import { undoText } from './undo-text.js'
import type { Done, Workspace } from './workspace.js'

export type { Skipped }

export interface UndoOptions {
  /** Keys to follow, as patterns: `*` is a run without a slash, `**` any. Default: all. */
  scope?: readonly string[]
  /** Writes less than this many milliseconds after the last one join its step; 0 for every transaction its own. Default 500. */
  captureTimeout?: number
  /** How many steps are kept; the oldest go first. Default 100. */
  maxItems?: number
  /** Only transactions with one of these origins; `undefined` stands for those without. Default: all but those of undo managers. */
  origins?: readonly unknown[]
}

/** One step. `meta` is the application's: a selection, for example. */
export interface UndoItem { readonly meta: Map<unknown, unknown> }

export interface UndoEvent {
  /** A step was added to the undo stack or grew; one was undone or redone; all were forgotten. */
  kind: 'added' | 'updated' | 'undone' | 'redone' | 'cleared'
  item?: UndoItem
  /** What could not be undone because of what others did. */
  skipped: readonly Skipped[]
  /** Deleted list items that came back, with their new ids. */
  restored: readonly { key: string, item: string, now: string }[]
}

export interface UndoManager {
  readonly canUndo: boolean
  readonly canRedo: boolean
  /** Takes back the latest step that others have left anything of. Returns whether there was one. */
  undo (): boolean
  redo (): boolean
  /** Lets the next write begin a new step. */
  commit (): void
  clear (): void
  /** Records nothing from now on and forgets everything. */
  stop (): void
  onChange (listen: (event: UndoEvent) => void): () => void
}

interface Step extends UndoItem { entries: Entry[] }

/** Records what this document's user writes, and takes it back. Undo and redo are writes like any other: others see them. */
export function createUndo (workspace: Workspace, options: UndoOptions = {}): UndoManager {
  const { captureTimeout = 500, maxItems = 100 } = options
  const covers = coverage(options)
  const undos: Step[] = []
  const redos: Step[] = []
  const listeners = new Set<(event: UndoEvent) => void>()
  let openUntil = -Infinity
  let caught: Entry[] = []

  function tell (event: Partial<UndoEvent> & Pick<UndoEvent, 'kind'>): void {
    for (const listen of [...listeners]) {
      try {
        listen({ skipped: [], restored: [], ...event })
      } catch (error) {
        workspace.onError(error)
      }
    }
  }

  function record (done: Done): void {
    if (done.source === 'undo') {
      if (done.origin === manager) caught = [...done.entries]
      return
    }
    const entries = covers(done)
    if (entries.length === 0) return
    redos.length = 0
    const open = done.since < openUntil ? undos.at(-1) : undefined
    openUntil = workspace.clock.now() + captureTimeout
    if (open !== undefined) {
      open.entries.push(...entries)
      tell({ kind: 'updated', item: open })
      return
    }
    const item: Step = { entries, meta: new Map() }
    undos.push(item)
    if (undos.length > maxItems) undos.shift()
    tell({ kind: 'added', item })
  }

  function take (from: Step[], to: Step[], kind: 'undone' | 'redone'): boolean {
    workspace.conclude()
    openUntil = -Infinity
    for (let step = from.pop(); step !== undefined; step = from.pop()) {
      const { entries, meta } = step
      caught = []
      const report = workspace.undoing(manager, () => undoAll(workspace, entries))
      if (caught.length > 0) to.push({ entries: caught, meta })
      tell({ kind, item: step, ...report })
      if (caught.length > 0) return true
    }
    return false
  }

  function clear (): void {
    undos.length = redos.length = 0
    openUntil = -Infinity
    tell({ kind: 'cleared' })
  }

  // What was typed before is no step of this manager.
  workspace.flush()
  const stop = workspace.onDone(record)
  const manager: UndoManager = {
    get canUndo () { return undos.length > 0 },
    get canRedo () { return redos.length > 0 },
    undo: () => take(undos, redos, 'undone'),
    redo: () => take(redos, undos, 'redone'),
    commit () {
      workspace.flush()
      openUntil = -Infinity
    },
    clear,
    stop () {
      stop()
      clear()
      listeners.clear()
    },
    onChange (listen) {
      const own = (event: UndoEvent): void => listen(event)
      listeners.add(own)
      return () => { listeners.delete(own) }
    }
  }
  return manager
}

/** What of a transaction a manager follows. */
function coverage ({ scope = ['**'], origins }: UndoOptions): (done: Done) => Entry[] {
  const globs = scope.map((pattern) => subscriptionGlob(pattern))
  return ({ origin, entries }) => origins !== undefined && !origins.includes(origin)
    ? []
    : entries.filter(({ key }) => globs.some((matches) => matches(key)))
}

/** Takes back entries from the last to the first. */
function undoAll (workspace: Workspace, entries: readonly Entry[]): Pick<UndoEvent, 'skipped' | 'restored'> {
  const skipped: Skipped[] = []
  const restored: { key: string, item: string, now: string }[] = []
  for (const entry of entries.toReversed()) {
    if (entry.kind === 'list-delete') {
      const back = undoDelete(workspace, entry)
      if (back !== null) restored.push({ key: entry.key, ...back })
    } else {
      const left = undoOne(workspace, entry)
      if (left !== null) skipped.push(left)
    }
  }
  return { skipped, restored }
}

function undoOne (workspace: Workspace, entry: Exclude<Entry, { kind: 'list-delete' }>): Skipped | null {
  switch (entry.kind) {
    case 'map': return undoMap(workspace, entry)
    case 'list-content': return undoContent(workspace, entry)
    case 'text': return undoText(workspace, entry)
    case 'list-move': return undoMove(workspace, entry)
    case 'list-insert':
      undoInsert(workspace, entry)
      return null
  }
}
