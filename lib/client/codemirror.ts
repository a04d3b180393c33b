import { Annotation, type ChangeSpec, EditorState, type Extension, Transaction } from '@codemirror/state'
import { EditorView, type PluginValue, ViewPlugin } from '@codemirror/view'
import { type CursorOptions, type CursorPresence, peerCursors } from './codemirror-cursors.js'
import { type SelectionUndo, editorUndo } from './codemirror-undo.js'
import { type Splice, changesOf, difference, mayBeHalf, splicesOf } from './codemirror-splices.js'

export { type Person, personOf } from './codemirror-caret.js'
export type { EditorCursor, EditorPresence, CursorPresence } from './codemirror-cursors.js'
export type { SelectionUndo } from './codemirror-undo.js'

/** What the binding uses of `doc.text(key)`. */
export interface EditedText {
  readonly length: number
  toString (): string
  apply (splices: readonly Splice[]): void
  observe (listen: (event: { splices: readonly Splice[] }) => void): () => void
  anchor (position: number): object
  resolve (anchor: object): number | null
}

/** Options of {@link nodalmergeText}; all may be left out. */
export interface NodalmergeTextOptions extends CursorOptions {
  /** `doc.presence()`: shows the carets of others and tells them about this one, in the fields `name`, `color` and `cursor`. */
  presence?: CursorPresence
  /** `doc.undoManager({ scope: [key] })`: undo and redo keys take back what was written here, and put the selection back. */
  undo?: SelectionUndo
}

/** Marks the transactions that bring the text's own changes into the editor. */
const fromText = Annotation.define<true>()

/** More splices at once, as when a long absence ends, are not taken one by one: composing them would hold up the page. */
const MANY = 1_000

const isOwn = (transaction: Transaction): boolean => transaction.docChanged && transaction.annotation(fromText) !== true

/**
 * A CodeMirror 6 extension that keeps an editor and a text the same, in both directions.
 *
 * ```js
 * new EditorView({ doc: text.toString(), extensions: [nodalmergeText(text, { presence: doc.presence(), name: 'Ada' })], parent })
 * ```
 *
 * An editor that was created with other content takes the text's. Line breaks are `\n` only, so that positions in the editor are
 * positions in the text; pasted ones are turned into `\n`. CodeMirror's own `history()` is to be left out where `undo` is given.
 * Throws TypeError when `text` is no text handle.
 */
export function nodalmergeText (text: EditedText, options: NodalmergeTextOptions = {}): Extension {
  if (typeof text?.apply !== 'function' || typeof text.observe !== 'function') throw new TypeError('nodalmergeText takes a text of a document: doc.text(key)')
  const { presence, undo, ...own } = options
  return [
    EditorState.lineSeparator.of('\n'),
    EditorView.clipboardInputFilter.of((pasted) => pasted.replace(/\r\n?/g, '\n')),
    undo === undefined ? [] : editorUndo(text, undo, isOwn),
    ViewPlugin.define((view) => bind(view, text)),
    presence === undefined ? [] : peerCursors(text, presence, own)
  ]
}

function bind (view: EditorView, text: EditedText): PluginValue {
  let writing = false
  let answers = 0
  let owed = false
  let closed = false

  const show = (changes: ChangeSpec): void => view.dispatch({ changes, annotations: [fromText.of(true), Transaction.remote.of(true), Transaction.addToHistory.of(false)] })

  /** Takes over the text as a whole. */
  function compare (): void {
    const change = closed ? null : difference(view.state.doc.toString(), text.toString())
    if (change !== null) show(change)
  }

  /** An editor cannot change within its own update. */
  const compareSoon = (): void => queueMicrotask(compare)

  const stop = text.observe(({ splices }) => {
    if (writing) answers++
    else if (owed) {
      owed = false
      compareSoon()
    } else if (splices.length > MANY) compare()
    else if (splices.length > 0) show(changesOf(splices, view.state.doc.length))
  })

  function write (splices: readonly Splice[], { doc }: EditorState): void {
    answers = 0
    writing = true
    try {
      text.apply(splices)
    } finally {
      writing = false
    }
    // Within a transaction the answer comes at its end, together with what else is written there.
    owed = answers === 0
    // A text holds whole characters only, and others who observe it may have answered with an edit.
    if (answers > 1 || text.length !== doc.length || splices.some((splice) => mayBeHalf(doc, splice))) compareSoon()
  }

  if (view.state.doc.toString() !== text.toString()) compareSoon()
  return {
    update ({ transactions, state }) {
      const own = transactions.filter(isOwn)
      if (own.length > 0) write(own.flatMap(({ changes }) => splicesOf(changes)), state)
    },
    destroy () {
      closed = true
      stop()
    }
  }
}
