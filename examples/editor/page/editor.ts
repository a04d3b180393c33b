import { defaultKeymap } from '@codemirror/commands'
import { insertNewlineContinueMarkup, markdownLanguage } from '@codemirror/lang-markdown'
import { HighlightStyle, syntaxHighlighting } from '@codemirror/language'
import { Compartment, EditorState, type Extension } from '@codemirror/state'
import { EditorView, drawSelection, keymap, placeholder } from '@codemirror/view'
import { tags } from '@lezer/highlight'
import type { Doc } from 'nodalmerge/client'
import { nodalmergeText } from 'nodalmerge/client/codemirror'
import { byId } from './element.js'
import { pictureInput, pictures } from './images.js'
import { quietMarks } from './marks.js'
import type { Profile } from './profile.js'

const markup = HighlightStyle.define([
  { tag: tags.heading1, class: 'md-h1' },
  { tag: tags.heading2, class: 'md-h2' },
  { tag: [tags.heading3, tags.heading4, tags.heading5, tags.heading6], class: 'md-h3' },
  { tag: tags.strong, class: 'md-strong' },
  { tag: tags.emphasis, class: 'md-em' },
  { tag: tags.strikethrough, class: 'md-strike' },
  { tag: tags.monospace, class: 'md-code' },
  { tag: tags.quote, class: 'md-quote' },
  { tag: [tags.link, tags.url], class: 'md-link' },
  { tag: [tags.processingInstruction, tags.contentSeparator], class: 'md-mark' }
])

const markdown: Extension = [markdownLanguage, syntaxHighlighting(markup), quietMarks]

/**
 * The note's text as an editor. All that syncs is the one line with `nodalmergeText`. A note that is new on this device arrives in
 * many parts; parsing it as Markdown waits until it is here, or until somebody writes.
 */
export function openEditor (doc: Doc, { name, color }: Profile): EditorView {
  const text = doc.text('body')
  const language = new Compartment()
  const become = (extension: Extension): void => { if (language.get(view.state) !== markdown) view.dispatch({ effects: language.reconfigure(extension) }) }
  /** In two turns: a long note is parsed in one and drawn in the other. */
  const showMarkdown = (): void => {
    become(markdownLanguage)
    setTimeout(() => become(markdown), 0)
  }
  const view = new EditorView({
    parent: byId('text'),
    doc: text.toString(),
    extensions: [
      nodalmergeText(text, { presence: doc.presence(), undo: doc.undoManager({ scope: ['body'] }), name, color }),
      EditorView.cspNonce.of(document.querySelector<HTMLMetaElement>('meta[name=style-nonce]')?.content ?? ''),
      EditorState.tabSize.of(4),
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({ 'aria-label': 'Text of the note', spellcheck: 'true', autocapitalize: 'sentences' }),
      drawSelection(),
      placeholder('Write here. Drop, paste or pick a picture.'),
      language.of(text.length > 0 ? markdown : []),
      pictures(doc),
      pictureInput(doc),
      keymap.of([{ key: 'Enter', run: insertNewlineContinueMarkup }, ...defaultKeymap])
    ]
  })
  view.contentDOM.addEventListener('focus', showMarkdown, { once: true })
  doc.whenSynced().then(showMarkdown, () => {})
  return view
}
