import { type Extension, Prec } from '@codemirror/state'
import { EditorView, keymap } from '@codemirror/view'

/** What the binding uses of `doc.undoManager()`. */
export interface SelectionUndo {
  undo (): boolean
  redo (): boolean
}

/** Undo and redo of keys and menus, before CodeMirror's own. */
export function editorUndo (manager: SelectionUndo): Extension {
  const undo = (): boolean => { manager.undo(); return true }
  const redo = (): boolean => { manager.redo(); return true }
  return Prec.high([
    keymap.of([{ key: 'Mod-z', run: undo, preventDefault: true }, { key: 'Mod-y', mac: 'Mod-Shift-z', run: redo, preventDefault: true }, { linux: 'Ctrl-Shift-z', run: redo, preventDefault: true }]),
    EditorView.domEventHandlers({ beforeinput: ({ inputType }) => inputType === 'historyUndo' ? undo() : inputType === 'historyRedo' ? redo() : false })
  ])
}
