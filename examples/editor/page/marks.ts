import { syntaxTree } from '@codemirror/language'
import { RangeSetBuilder } from '@codemirror/state'
import { Decoration, type DecorationSet, type EditorView, ViewPlugin, type ViewUpdate } from '@codemirror/view'

const HIDDEN = new Set(['HeaderMark', 'EmphasisMark', 'StrikethroughMark', 'CodeMark', 'QuoteMark'])
const hide = Decoration.replace({})
const quote = Decoration.line({ class: 'quoted' })

/** Shows Markdown's marks only in the lines that the selection touches; elsewhere their effect is enough. */
export const quietMarks = ViewPlugin.define((view) => {
  const plugin = {
    decorations: decorations(view),
    update ({ docChanged, viewportChanged, selectionSet, focusChanged, startState, state, view }: ViewUpdate) {
      const parsed = syntaxTree(startState) !== syntaxTree(state)
      if (docChanged || viewportChanged || selectionSet || focusChanged || parsed) plugin.decorations = decorations(view)
    }
  }
  return plugin
}, { decorations: (plugin) => plugin.decorations })

function decorations (view: EditorView): DecorationSet {
  const builder = new RangeSetBuilder<Decoration>()
  const { doc, selection: { main } } = view.state
  for (const { from, to } of view.visibleRanges) {
    syntaxTree(view.state).iterate({
      from,
      to,
      enter ({ name, from, to }) {
        if (!HIDDEN.has(name)) return
        const line = doc.lineAt(from)
        if (name === 'QuoteMark') builder.add(line.from, line.from, quote)
        if (view.hasFocus && main.from <= line.to && main.to >= line.from) return
        const space = name === 'HeaderMark' || name === 'QuoteMark' ? /^ */.exec(doc.sliceString(to, line.to))?.[0].length ?? 0 : 0
        if (to + space > from) builder.add(from, to + space, hide)
      }
    })
  }
  return builder.finish()
}
