import { EditorView, WidgetType } from '@codemirror/view'

/** Colours for people who name none: each has a contrast of at least 4.5 to 1 with white. */
const PALETTE = ['#b4235a', '#7a3fc4', '#2f5fd0', '#0b7285', '#18794e', '#8a5a00', '#c2410c', '#5b5bd6']
const NAME_LENGTH = 40
/** Pixels that most names fit in. */
const NAME_WIDTH = 120

/** What is shown of somebody: their word, so bounded and checked before it is drawn. */
export interface Person { readonly sessionId: string, readonly name: string, readonly color: string }

/** Reads name and colour from a presence state; `#rrggbb` is the only form of a colour that is taken over. */
export function personOf (sessionId: string, { name, color }: { name?: unknown, color?: unknown }): Person {
  return {
    sessionId,
    name: typeof name === 'string' ? name.slice(0, NAME_LENGTH) : '',
    color: typeof color === 'string' && /^#[0-9a-f]{6}$/i.test(color) ? color : colorOf(sessionId)
  }
}

/** The colour of a session that names none, always the same one. */
export function colorOf (sessionId: string): string {
  let sum = 0
  for (let i = 0; i < sessionId.length; i++) sum = (sum * 31 + sessionId.charCodeAt(i)) >>> 0
  return PALETTE[sum % PALETTE.length]
}

/** Black or white, whichever is easier to read on a colour. */
export function inkOn (color: string): string {
  const [red, green, blue] = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16))
  return red * 0.299 + green * 0.587 + blue * 0.114 > 150 ? '#000000' : '#ffffff'
}

/** Somebody's caret. `moves` grows when they move, so that their name shows again. */
export class CaretWidget extends WidgetType {
  readonly person: Person
  readonly moves: number

  constructor (person: Person, moves: number) {
    super()
    this.person = person
    this.moves = moves
  }

  override eq ({ person, moves }: CaretWidget): boolean {
    return moves === this.moves && person.sessionId === this.person.sessionId && person.name === this.person.name && person.color === this.person.color
  }

  override toDOM (view: EditorView) {
    const caret = view.dom.ownerDocument.createElement('span')
    caret.className = 'cm-peerCaret'
    caret.setAttribute('aria-hidden', 'true')
    caret.dataset.name = this.person.name
    caret.style.setProperty('--peer', this.person.color)
    caret.style.setProperty('--peer-ink', inkOn(this.person.color))
    // A name that would stick out on the right hangs to the left.
    view.requestMeasure({
      read: () => view.contentDOM.getBoundingClientRect().right - caret.getBoundingClientRect().left < NAME_WIDTH,
      write: (late) => { caret.classList.toggle('cm-peerCaret-late', late) }
    })
    return caret
  }
}

export const cursorTheme = EditorView.baseTheme({
  '.cm-peerSelection': { backgroundColor: 'color-mix(in srgb, var(--peer) 22%, transparent)' },
  '.cm-peerCaret': { position: 'relative', borderLeft: '2px solid var(--peer)', marginLeft: '-1px', marginRight: '-1px' },
  // Generated content: a name is no part of the document, neither for copying nor for a screen reader.
  '.cm-peerCaret::after': {
    content: 'attr(data-name)',
    position: 'absolute',
    left: '-2px',
    bottom: '100%',
    padding: '1px 6px',
    borderRadius: '4px 4px 4px 0',
    font: '600 11px/16px system-ui, sans-serif',
    whiteSpace: 'nowrap',
    color: 'var(--peer-ink)',
    backgroundColor: 'var(--peer)',
    pointerEvents: 'none',
    zIndex: '10',
    animation: 'cm-peerName 4s forwards'
  },
  '.cm-peerCaret-late::after': { left: 'auto', right: '0', borderRadius: '4px 4px 0 4px' },
  '.cm-peerCaret[data-name=""]::after': { display: 'none' },
  '.cm-peerCaret:hover::after': { animation: 'none' },
  '@keyframes cm-peerName': { '0%, 85%': { opacity: '1' }, '100%': { opacity: '0' } }
})
