import { type EditorSelection, type Extension, Prec, type Transaction } from '@codemirror/state'
import { EditorView, ViewPlugin, type ViewUpdate, keymap } from '@codemirror/view'

/** What the binding uses of `doc.undoManager()`. */
export interface SelectionUndo {
  undo (): boolean
  redo (): boolean
  onChange (listen: (event: { readonly kind: string, readonly item?: { readonly meta: Map<unknown, unknown> } }) => void): () => void
}

interface AnchoredText {
  anchor (position: number): object
  resolve (anchor: object): number | null
}

/** Where the selection was before a step: its ends, which stay with their characters. */
interface Place { readonly anchor: object, readonly head: object }

/**
 * Undo and redo by keys and menus. Undo puts the selection back where it was before the step; redo, and undo of a step that was not
 * written in this editor, puts it behind what has changed. Has to come before what writes to the text. `isOwn` tells the editor's
 * own transactions from those that the text brings.
 */
export function editorUndo (text: AnchoredText, manager: SelectionUndo, isOwn: (transaction: Transaction) => boolean): Extension {
  const undo = (): boolean => { manager.undo(); return true }
  const redo = (): boolean => { manager.redo(); return true }
  return [
    ViewPlugin.define((view) => follow(view, text, manager, isOwn)),
    Prec.high(keymap.of([{ key: 'Mod-z', run: undo, shift: redo }, { key: 'Mod-y', run: redo }])),
    EditorView.domEventHandlers({ beforeinput: ({ inputType }) => inputType === 'historyUndo' ? undo() : inputType === 'historyRedo' && redo() })
  ]
}

function follow (view: EditorView, text: AnchoredText, manager: SelectionUndo, isOwn: (transaction: Transaction) => boolean): { update (update: ViewUpdate): void, destroy (): void } {
  /** Names this editor's place in the steps of a manager that several may share. */
  const key = Symbol('selection')
  let before: Place | null = null
  let changed: number | null = null

  const stop = manager.onChange(({ kind, item }) => {
    if (kind === 'added' && before !== null) item?.meta.set(key, before)
    if (kind === 'added' || kind === 'updated') before = null
    else if (kind === 'undone') select(item?.meta.get(key) as Place | undefined)
    else if (kind === 'redone') select(undefined)
    changed = null
  })

  function select (place: Place | undefined): void {
    const [anchor, head] = place === undefined ? [null, null] : [text.resolve(place.anchor), text.resolve(place.head)]
    const position = head ?? changed
    if (changed === null || position === null) return
    const { length } = view.state.doc
    view.dispatch({ selection: { anchor: Math.min(anchor ?? position, length), head: Math.min(position, length) }, scrollIntoView: true, userEvent: 'undo' })
  }

  return {
    update ({ docChanged, transactions, startState, changes }) {
      if (!docChanged) return
      if (transactions.some(isOwn)) before ??= placeOf(text, startState.selection)
      else changes.iterChangedRanges((fromA, toA, fromB, toB) => { changed = toB })
    },
    destroy: stop
  }
}

/** Everything written earlier is in a node by now, so that an anchor ends no run of typing. */
function placeOf (text: AnchoredText, { main: { anchor, head } }: EditorSelection): Place {
  return { anchor: text.anchor(anchor), head: text.anchor(head) }
}
