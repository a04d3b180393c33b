import { type Extension, type Range, StateEffect, StateField } from '@codemirror/state'
import { Decoration, type DecorationSet, EditorView, ViewPlugin, type ViewUpdate } from '@codemirror/view'
import { CaretWidget, type Person, cursorTheme, personOf } from './codemirror-caret.js'

/** A selection as it travels in presence: its anchors stay with their characters while others write. */
export interface EditorCursor { readonly anchor: object, readonly head: object }

/** The fields of a presence state that an editor writes and reads; an app may have more. */
export interface EditorPresence { name?: string, color?: string, cursor?: EditorCursor | null }

/** What the binding uses of `doc.presence()`. */
export interface CursorPresence {
  set (patch: object): unknown
  others (): ReadonlyArray<{ readonly sessionId: number | null, readonly pubkey: string, readonly state: object }>
  observe (listen: () => void): () => void
}

/** How this editor is shown to others. */
export interface CursorOptions {
  /** The name beside the caret. Default: none; what the app has set in presence stays. */
  name?: string
  /** `#rrggbb`. Default: one of eight, by session. */
  color?: string
  /** The presence field that holds the caret. Default `cursor`; several editors of one document take several fields. */
  field?: string
}

/** What carets need of a text. */
export interface AnchoredText {
  observe (listen: () => void): () => void
  anchor (position: number): object
  resolve (anchor: object): number | null
}

/** Own moves are told at most this often. Making an anchor ends a run of typing, so one for each key would cost a node for each key. */
const TELL_MS = 50
/** Carets drawn at once; a crowd would hide the text. */
const CARETS = 50

interface Caret { readonly person: Person, readonly moves: number, readonly anchor: number, readonly head: number }

/** Shows the carets and selections of others, and tells them about this editor's once it has had the focus. */
export function peerCursors (text: AnchoredText, presence: CursorPresence, { field = 'cursor', ...person }: CursorOptions): Extension {
  const redraw = StateEffect.define<readonly Caret[]>()
  const drawn = StateField.define<DecorationSet>({
    create: () => Decoration.none,
    update (set, { changes, effects }) {
      return effects.reduce((now, effect) => effect.is(redraw) ? decorations(effect.value) : now, set.map(changes))
    },
    provide: (field) => EditorView.decorations.from(field)
  })
  presence.set(person)
  return [drawn, cursorTheme, ViewPlugin.define((view) => {
    const carets = caretReader(text, field)
    let shown = 0
    const show = soon(0, () => {
      const now = carets(presence.others(), view.state.doc.length)
      if (now.length + shown > 0) view.dispatch({ effects: redraw.of(now) })
      shown = now.length
    })
    const stops = [presence.observe(show.start), text.observe(show.start), show.stop]
    show.start()
    const told = teller(view, text, (cursor) => presence.set({ [field]: cursor }))
    return {
      update: told.update,
      destroy () {
        for (const stop of stops) stop()
        told.stop()
      }
    }
  })]
}

/** Says where this editor's selection is, from its first focus on; it stays told when the focus goes elsewhere. */
function teller (view: EditorView, text: AnchoredText, say: (cursor: EditorCursor | null) => void): { update (update: ViewUpdate): void, stop (): void } {
  let visited = false
  const tell = soon(TELL_MS, () => {
    const { anchor, head } = view.state.selection.main
    const at = text.anchor(head)
    say({ anchor: anchor === head ? at : text.anchor(anchor), head: at })
  })
  return {
    update ({ selectionSet, docChanged, focusChanged }) {
      visited ||= view.hasFocus
      if (visited && (selectionSet || docChanged || focusChanged)) tell.start()
    },
    stop () {
      tell.stop()
      if (visited) say(null)
    }
  }
}

/** Runs once, `delay` milliseconds after the first of several starts. */
function soon (delay: number, run: () => void): { start (): void, stop (): void } {
  let timer: ReturnType<typeof setTimeout> | undefined
  return {
    start () {
      timer ??= setTimeout(() => {
        timer = undefined
        run()
      }, delay)
    },
    stop () { clearTimeout(timer) }
  }
}

/** Where others are now, and how often each has moved of their own accord. */
function caretReader (text: AnchoredText, field: string): (others: ReturnType<CursorPresence['others']>, length: number) => readonly Caret[] {
  let known = new Map<string, { cursor: string, moves: number }>()
  return (others, length) => {
    const seen: typeof known = new Map()
    const carets: Caret[] = []
    for (const { sessionId, pubkey, state } of others) {
      const { anchor, head } = Object(Reflect.get(state, field))
      const [from, to] = [text.resolve(anchor), text.resolve(head)]
      if (from === null || to === null || carets.length === CARETS) continue
      const id = String(sessionId ?? pubkey)
      const cursor = JSON.stringify([anchor, head])
      const before = known.get(id)
      const moves = (before?.moves ?? 0) + Number(before?.cursor !== cursor)
      seen.set(id, { cursor, moves })
      carets.push({ person: personOf(id, state), moves, anchor: Math.min(from, length), head: Math.min(to, length) })
    }
    known = seen
    return carets
  }
}

function decorations (carets: readonly Caret[]): DecorationSet {
  const ranges: Array<Range<Decoration>> = []
  for (const { person, moves, anchor, head } of carets) {
    const [from, to] = anchor < head ? [anchor, head] : [head, anchor]
    if (from < to) ranges.push(Decoration.mark({ class: 'cm-peerSelection', attributes: { style: `--peer: ${person.color}` } }).range(from, to))
    ranges.push(Decoration.widget({ widget: new CaretWidget(person, moves), side: 1 }).range(head))
  }
  return Decoration.set(ranges, true)
}
