import { type Extension, type Range, StateEffect, StateField } from '@codemirror/state'
import { Decoration, type DecorationSet, EditorView, type PluginValue, ViewPlugin } from '@codemirror/view'
import { CaretWidget, type Person, cursorTheme, personOf } from './codemirror-caret.js'

/** A selection as it travels in presence: its anchors stay with their characters while others write. */
export interface EditorCursor<Anchor> { readonly text: string, readonly anchor: Anchor, readonly head: Anchor }

/** The fields of a presence state that an editor writes and reads; an app may have more. */
export interface EditorPresence<Anchor> { name?: string, color?: string, cursor?: EditorCursor<Anchor> | null }

/** What the binding uses of `doc.presence()`. */
export interface PresenceOf<Anchor> {
  set (patch: EditorPresence<Anchor>): void
  others (): ReadonlyArray<{ readonly sessionId: string, readonly state: unknown }>
  observe (listen: () => void): () => void
}

/** How this editor is shown to others. */
export interface CursorOptions {
  /** The name beside the caret. Default: none; what the app has set in presence stays. */
  name?: string
  /** `#rrggbb`. Default: one of eight, by session. */
  color?: string
}

/** What carets need of a text. */
export interface AnchoredText<Anchor> {
  readonly key: string
  observe (listen: () => void): () => void
  anchor (position: number): Anchor
  resolve (anchor: Anchor): number | null
}

/** Own moves are told at most this often. Making an anchor ends a run of typing, so one for each key would cost a node for each key. */
const TELL_MS = 50
/** Carets drawn at once; a crowd would hide the text. */
const CARETS = 50

interface Caret { readonly person: Person, readonly moves: number, readonly anchor: number, readonly head: number }

/** Shows the carets and selections of others, and tells them about this editor's once it has had the focus. */
export function peerCursors<Anchor> (text: AnchoredText<Anchor>, presence: PresenceOf<Anchor>, options: CursorOptions): Extension {
  const redraw = StateEffect.define<readonly Caret[]>()
  const drawn = StateField.define<DecorationSet>({
    create: () => Decoration.none,
    update (set, { changes, effects }) {
      return effects.reduce((now, effect) => effect.is(redraw) ? decorations(effect.value) : now, set.map(changes))
    },
    provide: (field) => EditorView.decorations.from(field)
  })
  presence.set({ ...options.name === undefined ? {} : { name: options.name }, ...options.color === undefined ? {} : { color: options.color } })
  return [drawn, cursorTheme, ViewPlugin.define((view) => follow(view, text, presence, (carets) => view.dispatch({ effects: redraw.of(carets) })))]
}

function follow<Anchor> (view: EditorView, text: AnchoredText<Anchor>, presence: PresenceOf<Anchor>, draw: (carets: readonly Caret[]) => void): PluginValue {
  const read = caretReader(text)
  let shown = 0
  const show = soon(0, () => {
    const carets = read(presence.others(), view.state.doc.length)
    if (carets.length + shown > 0) draw(carets)
    shown = carets.length
  })
  const tell = soon(TELL_MS, () => {
    const { anchor, head } = view.state.selection.main
    const at = text.anchor(head)
    presence.set({ cursor: { text: text.key, anchor: anchor === head ? at : text.anchor(anchor), head: at } })
  })
  const stops = [presence.observe(show.start), text.observe(show.start)]
  let visited = false
  show.start()
  return {
    update ({ selectionSet, docChanged, focusChanged }) {
      visited ||= view.hasFocus
      if (visited && (selectionSet || docChanged || focusChanged)) tell.start()
    },
    destroy () {
      for (const stop of [...stops, show.stop, tell.stop]) stop()
      if (visited) presence.set({ cursor: null })
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
function caretReader<Anchor> (text: AnchoredText<Anchor>): (others: ReturnType<PresenceOf<Anchor>['others']>, length: number) => readonly Caret[] {
  let known = new Map<string, { cursor: string, moves: number }>()
  return (others, length) => {
    const seen: typeof known = new Map()
    const carets: Caret[] = []
    for (const { sessionId, state } of others) {
      const cursor = cursorOf<Anchor>(state)
      if (cursor?.text !== text.key || carets.length === CARETS) continue
      const [anchor, head] = [positionOf(text, cursor.anchor, length), positionOf(text, cursor.head, length)]
      if (anchor === null || head === null) continue
      const before = known.get(sessionId)
      const now = JSON.stringify(cursor)
      const moves = (before?.moves ?? 0) + Number(before?.cursor !== now)
      seen.set(sessionId, { cursor: now, moves })
      carets.push({ person: personOf(sessionId, Object(state)), moves, anchor, head })
    }
    known = seen
    return carets
  }
}

function cursorOf<Anchor> (state: unknown): EditorCursor<Anchor> | null {
  const { cursor } = Object(state)
  return typeof cursor === 'object' ? cursor : null
}

/** A presence state is its sender's word: an anchor that is none, or of a character not here yet, has no position. */
function positionOf<Anchor> (text: AnchoredText<Anchor>, anchor: Anchor, length: number): number | null {
  try {
    const position = text.resolve(anchor)
    return position === null ? null : Math.min(position, length)
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) return null
    throw error
  }
}

function decorations (carets: readonly Caret[]): DecorationSet {
  const ranges: Array<Range<Decoration>> = []
  for (const { person, moves, anchor, head } of carets) {
    const [from, to] = anchor < head ? [anchor, head] : [head, anchor]
    if (from < to) ranges.push(Decoration.mark({ class: 'cm-peerSelection', attributes: { style: `--peer: ${person.color}` } }).range(from, to))
    ranges.push(Decoration.widget({ widget: new CaretWidget(person, moves), side: -1 }).range(head))
  }
  return Decoration.set(ranges, true)
}
