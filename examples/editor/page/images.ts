import { Decoration, type DecorationSet, EditorView, ViewPlugin, type ViewUpdate, WidgetType } from '@codemirror/view'
import { type Extension, RangeSetBuilder } from '@codemirror/state'
import type { Doc } from 'nodalmerge/client'
import { make, notice } from './element.js'

/** In the text a picture is `![name](blob:hash)`; its bytes are a blob, which the map `images` names so that the server keeps it. */
const REFERENCE = /!\[([^\]\n]{0,200})\]\(blob:([0-9a-f]{64})\)/g
const MAX_BYTES = 8 * 1024 * 1024

/** Puts pictures into the note: each is kept on this device first, then referred to where the caret is. */
export async function addPictures (doc: Doc, view: EditorView, files: readonly File[], position = view.state.selection.main.head): Promise<void> {
  const text = doc.text('body')
  for (const file of files) {
    if (!file.type.startsWith('image/')) notice(`${file.name} is not a picture`)
    else if (file.size > MAX_BYTES) notice(`${file.name} is larger than 8 MB`)
    else {
      const place = text.anchor(position)
      const hash = await doc.map('images').setBlob(`${Date.now()}-${file.name}`, file, { contentType: file.type })
      const name = file.name.replace(/\.\w+$/, '').replace(/[[\]\n]/g, ' ').slice(0, 200)
      const at = text.resolve(place) ?? text.length
      const before = at === 0 || text.slice(at - 1, at) === '\n' ? '' : '\n'
      view.dispatch({ changes: { from: at, insert: `${before}![${name}](blob:${hash})\n` }, userEvent: 'input.paste', scrollIntoView: true })
      position = at + before.length + name.length + hash.length + 11
    }
  }
}

/** Pictures that are pasted or dropped. */
export function pictureInput (doc: Doc): Extension {
  const take = (view: EditorView, data: DataTransfer | null, position?: number): boolean => {
    const files = [...data?.files ?? []]
    if (files.length === 0) return false
    addPictures(doc, view, files, position).catch((error: unknown) => notice(`The picture was not added: ${String(error)}`))
    return true
  }
  return EditorView.domEventHandlers({
    paste: (event, view) => take(view, event.clipboardData),
    drop: (event, view) => take(view, event.dataTransfer, view.posAtCoords({ x: event.clientX, y: event.clientY }, false))
  })
}

class Picture extends WidgetType {
  readonly name: string
  readonly hash: string
  readonly urlOf: (hash: string) => Promise<string>

  constructor (name: string, hash: string, urlOf: (hash: string) => Promise<string>) {
    super()
    this.name = name
    this.hash = hash
    this.urlOf = urlOf
  }

  override eq ({ name, hash }: Picture): boolean { return name === this.name && hash === this.hash }
  override get estimatedHeight (): number { return 280 }
  /** A click on a picture sets the caret at its reference, which then shows and can be deleted. */
  override ignoreEvent (): boolean { return false }

  override toDOM (view: EditorView): HTMLElement {
    const image = make('img', '')
    image.alt = this.name
    image.addEventListener('load', () => {
      figure.dataset.state = 'here'
      view.requestMeasure()
    })
    const figure = make('span', 'picture', image, make('span', 'picture-name', this.name))
    figure.dataset.state = 'coming'
    this.urlOf(this.hash).then((url) => { image.src = url }, () => { figure.dataset.state = 'missing' })
    return figure
  }
}

/** Shows pictures where they are referred to; the reference itself shows while the caret is in it. */
export function pictures (doc: Doc): Extension {
  const urls = new Map<string, Promise<string>>()
  const urlOf = (hash: string): Promise<string> => {
    const known = urls.get(hash) ?? doc.blobs.url(hash)
    urls.set(hash, known)
    known.catch(() => urls.delete(hash))
    return known
  }
  return ViewPlugin.define((view) => {
    const plugin = {
      decorations: drawn(view, urlOf),
      update (update: ViewUpdate) {
        if (update.docChanged || update.viewportChanged || update.selectionSet || update.focusChanged) plugin.decorations = drawn(update.view, urlOf)
      }
    }
    return plugin
  }, { decorations: (plugin) => plugin.decorations })
}

function drawn (view: EditorView, urlOf: (hash: string) => Promise<string>): DecorationSet {
  const builder = new RangeSetBuilder<Decoration>()
  const { main } = view.state.selection
  for (const { from, to } of view.visibleRanges) {
    for (const { index, 0: source, 1: name, 2: hash } of view.state.sliceDoc(from, to).matchAll(REFERENCE)) {
      const [start, end] = [from + index, from + index + source.length]
      const inside = view.hasFocus && main.from <= end && main.to >= start
      builder.add(start, end, inside ? Decoration.mark({ class: 'reference' }) : Decoration.replace({}))
      builder.add(end, end, Decoration.widget({ widget: new Picture(name, hash, urlOf), side: 1 }))
    }
  }
  return builder.finish()
}
