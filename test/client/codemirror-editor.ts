import { EditorState, type EditorStateConfig, type Extension, type Transaction, type TransactionSpec } from '@codemirror/state'
import { type EditorView, ViewPlugin, type ViewUpdate } from '@codemirror/view'

type Plugin = { update? (update: ViewUpdate): void, destroy? (): void }

/** An editor without a screen: the state and the view plugins of extensions, run as an EditorView runs them. */
export interface BareEditor {
  readonly state: EditorState
  readonly content: string
  /** While the editor has the focus. */
  hasFocus: boolean
  dispatch (...specs: TransactionSpec[]): void
  /** Several transactions in one update. */
  update (transactions: readonly Transaction[]): void
  focus (): void
  destroy (): void
}

export function createBareEditor (extensions: Extension, config: EditorStateConfig = {}): BareEditor {
  let state = EditorState.create({ ...config, extensions })
  let updating = false
  const measures: Array<{ read (): unknown, write (value: unknown): void }> = []

  function run (transactions: readonly Transaction[], extra: Partial<ViewUpdate> = {}): void {
    if (updating) throw new Error('an update within an update')
    const startState = state
    updating = true
    state = transactions.at(-1)?.state ?? state
    const changes = transactions.slice(1).reduce((all, { changes }) => all.compose(changes), transactions[0]?.changes ?? state.changes())
    const update = {
      view, state, startState, transactions, changes, docChanged: !changes.empty, selectionSet: transactions.some(({ selection }) => selection !== undefined), focusChanged: false, ...extra
    }
    try {
      for (const plugin of plugins) plugin.update?.(update as unknown as ViewUpdate)
    } finally {
      updating = false
    }
  }

  const editor = {
    get state () { return state },
    get content () { return state.doc.toString() },
    hasFocus: false,
    requestMeasure: (measure: typeof measures[number]) => { measures.push(measure) },
    dispatch: (...specs: TransactionSpec[]) => run([state.update(...specs)]),
    update: (transactions: readonly Transaction[]) => run(transactions),
    focus () {
      editor.hasFocus = true
      run([], { focusChanged: true })
    },
    destroy () { for (const plugin of plugins) plugin.destroy?.() }
  }
  const view = editor as unknown as EditorView
  const plugins = pluginsOf(extensions).map((plugin) => plugin.create(view))
  return editor
}

interface Creating { create (view: EditorView): Plugin }

function pluginsOf (extension: Extension): Creating[] {
  if (extension instanceof ViewPlugin) return [extension as unknown as Creating]
  if (Array.isArray(extension)) return extension.flatMap(pluginsOf)
  return 'inner' in extension ? pluginsOf(extension.inner as Extension) : []
}

/** Lets what is queued as a microtask run. */
export const microtasks = async (): Promise<void> => { for (let i = 0; i < 3; i++) await Promise.resolve() }
