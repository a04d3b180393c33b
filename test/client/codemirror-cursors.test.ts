import t, { type Test } from 'tap'
import { mock } from 'node:test'
import { EditorState } from '@codemirror/state'
import { type DecorationSet, EditorView, type WidgetType, keymap } from '@codemirror/view'
import { type CursorPresence, nodalmergeText, personOf, type SelectionUndo } from '../../lib/client/codemirror.js'
import { inkOn } from '../../lib/client/codemirror-caret.js'
import { type BareEditor, createBareEditor } from './codemirror-editor.js'
import { type PlainText, createPlainText } from './codemirror-text.js'

interface Others extends CursorPresence {
  readonly said: object[]
  /** Somebody else says where they are. */
  show (sessionId: number | null, state: object): void
  leave (sessionId: number): void
}

function createOthers (): Others {
  const listeners = new Set<() => void>()
  const others = new Map<number | null, { sessionId: number | null, pubkey: string, state: object }>()
  const said: object[] = []
  const tell = (): void => { for (const listen of listeners) listen() }
  return {
    said,
    set: (patch) => said.push(patch),
    others: () => [...others.values()],
    observe (listen) {
      listeners.add(listen)
      return () => { listeners.delete(listen) }
    },
    show (sessionId, state) {
      others.set(sessionId, { sessionId, pubkey: 'key', state })
      tell()
    },
    leave (sessionId) {
      others.delete(sessionId)
      tell()
    }
  }
}

interface Drawn { from: number, to: number, name?: string, moves?: number, color: string, widget?: WidgetType }

function drawn ({ state }: BareEditor): Drawn[] {
  const found: Drawn[] = []
  for (const set of state.facet(EditorView.decorations) as DecorationSet[]) {
    set.between(0, state.doc.length, (from, to, { spec }) => {
      found.push('widget' in spec ? { from, to, name: spec.widget.person.name, moves: spec.widget.moves, color: spec.widget.person.color, widget: spec.widget } : { from, to, color: spec.attributes.style })
    })
  }
  return found
}

const caretsOf = (editor: BareEditor) => drawn(editor).filter(({ name }) => name !== undefined).map(({ name, from }) => [name, from])

function scene (t: Test, content: string, options: { name?: string, color?: string, field?: string } = {}): { text: PlainText, others: Others, editor: BareEditor } {
  mock.timers.enable({ apis: ['setTimeout'] })
  const text = createPlainText(content)
  const others = createOthers()
  const editor = createBareEditor(nodalmergeText(text, { presence: others, ...options }), { doc: content })
  t.teardown(() => {
    editor.destroy()
    mock.timers.reset()
  })
  return { text, others, editor }
}

t.test('EX-10 an editor tells where its selection is, by anchors, from its first focus on', async (t) => {
  const { text, others, editor } = scene(t, 'hello world', { name: 'Ada', color: '#123456' })
  editor.dispatch({ selection: { anchor: 3 } })
  mock.timers.tick(50)
  t.same(others.said, [{ name: 'Ada', color: '#123456' }])
  editor.focus()
  editor.dispatch({ selection: { anchor: 6, head: 11 } })
  mock.timers.tick(49)
  t.equal(others.said.length, 1, 'not for each key')
  mock.timers.tick(1)
  const { cursor } = others.said[1] as { cursor: { anchor: object, head: object } }
  text.receive({ position: 0, deleted: 0, inserted: 'Oh, ' })
  t.same([text.resolve(cursor.anchor), text.resolve(cursor.head)], [10, 15])
  editor.hasFocus = false
  editor.dispatch({ changes: { from: 0, insert: '!' } })
  mock.timers.tick(50)
  t.equal(others.said.length, 3, 'it stays told while the focus is elsewhere')
  editor.dispatch({ selection: { anchor: 0 } })
  mock.timers.tick(50)
  const { cursor: caret } = others.said.pop() as { cursor: { anchor: object, head: object } }
  t.equal(caret.anchor, caret.head, 'a caret is one anchor')
  editor.dispatch({ selection: { anchor: 1 } })
  editor.destroy()
  mock.timers.tick(1_000)
  t.same(others.said.slice(3), [{ cursor: null }], 'an editor that is gone has no selection')
})

t.test('EX-11 carets and selections of others are drawn where their anchors are', async (t) => {
  const { text, others, editor } = scene(t, 'hello world')
  others.show(7, { name: 'Bob', color: '#0b7285', cursor: { anchor: text.anchor(6), head: text.anchor(11) } })
  others.show(null, { cursor: { anchor: text.anchor(0), head: text.anchor(0) } })
  mock.timers.tick(0)
  t.same(drawn(editor).map(({ from, to, color }) => ({ from, to, color })), [
    { from: 0, to: 0, color: personOf('key', {}).color }, { from: 6, to: 11, color: '--peer: #0b7285' }, { from: 11, to: 11, color: '#0b7285' }
  ])
  editor.dispatch({ changes: { from: 0, insert: '>> ' } })
  t.same(caretsOf(editor), [['', 3], ['Bob', 14]], 'they move with the text')
  editor.dispatch({ effects: EditorView.scrollIntoView(0) })
  t.same(caretsOf(editor), [['', 3], ['Bob', 14]])
  text.receive({ position: 0, deleted: 3, inserted: '' })
  mock.timers.tick(0)
  t.same(caretsOf(editor), [['', 0], ['Bob', 11]])
  others.show(7, { name: 'Bob', cursor: { anchor: text.anchor(8), head: text.anchor(2) } })
  mock.timers.tick(0)
  t.same(drawn(editor).map(({ from, to, moves }) => [from, to, moves]), [[0, 0, 1], [2, 2, 2], [2, 8, undefined]])
  others.leave(7)
  others.show(null, { cursor: null })
  mock.timers.tick(0)
  t.same(drawn(editor), [])
  mock.timers.tick(50)
})

t.test('EX-12 what others say of themselves is bounded and checked before it is drawn', async (t) => {
  const { text, others, editor } = scene(t, 'hello', { field: 'caret' })
  const at = text.anchor(1)
  for (const caret of [undefined, null, 7, 'x', {}, { anchor: at }, { anchor: at, head: { id: 99 } }]) others.show(1, { caret })
  others.show(2, { cursor: { anchor: at, head: at } })
  mock.timers.tick(0)
  t.same(drawn(editor), [])
  for (let i = 0; i < 80; i++) others.show(i, { name: 'n'.repeat(99), color: 'red; background: url(x)', caret: { anchor: at, head: at } })
  mock.timers.tick(0)
  t.equal(drawn(editor).length, 50)
  t.ok(drawn(editor).every(({ name, color }) => name?.length === 40 && /^#[0-9a-f]{6}$/.test(color)))
  t.same(personOf('1', { name: 5, color: '#AbCdEf' }), { sessionId: '1', name: '', color: '#AbCdEf' })
  t.same([inkOn('#ffee00'), inkOn('#0b7285')], ['#000000', '#ffffff'])
})

t.test('EX-13 a caret carries its name as generated content, hanging to the side where there is room', async (t) => {
  const { text, others, editor } = scene(t, 'hello')
  others.show(7, { name: 'Bob', color: '#0b7285', cursor: { anchor: text.anchor(5), head: text.anchor(5) } })
  mock.timers.tick(0)
  const [{ widget }] = drawn(editor)
  if (widget === undefined) return t.fail('a caret is a widget')
  const classes = new Map<string, boolean>()
  const styles: Record<string, string> = {}
  const attributes: Record<string, string> = {}
  const element = {
    className: '',
    dataset: {} as Record<string, string>,
    setAttribute: (name: string, value: string) => { attributes[name] = value },
    style: { setProperty: (name: string, value: string) => { styles[name] = value } },
    classList: { toggle: (name: string, on: boolean) => classes.set(name, on) },
    getBoundingClientRect: () => ({ left: 500 })
  }
  let right = 600
  const view = {
    dom: { ownerDocument: { createElement: () => element } },
    contentDOM: { getBoundingClientRect: () => ({ right }) },
    requestMeasure: ({ read, write }: { read (): boolean, write (late: boolean): void }) => write(read())
  } as unknown as EditorView
  t.equal(widget.toDOM(view), element)
  t.same([element.dataset.name, attributes['aria-hidden'], styles['--peer']], ['Bob', 'true', '#0b7285'])
  t.equal(classes.get('cm-peerCaret-late'), true)
  right = 900
  widget.toDOM(view)
  t.equal(classes.get('cm-peerCaret-late'), false)
  t.ok(widget.eq(widget))
  others.show(7, { name: 'Rob', color: '#0b7285', cursor: { anchor: text.anchor(5), head: text.anchor(5) } })
  mock.timers.tick(0)
  const [{ widget: renamed = widget }] = drawn(editor)
  t.notOk(widget.eq(renamed))
})

interface Step { splices: Array<{ position: number, deleted: number, inserted: string }>, meta: Map<unknown, unknown> }

/** An undo manager with steps by hand: `step` ends one. */
function createSteps (text: PlainText): SelectionUndo & { step (undoing: Step['splices']): void, grow (): void, calls: string[] } {
  const listeners = new Set<(event: { kind: string, item?: Step }) => void>()
  const steps: Step[] = []
  const calls: string[] = []
  const tell = (kind: string, item?: Step): void => { for (const listen of listeners) listen({ kind, ...item === undefined ? {} : { item } }) }
  return {
    calls,
    step (splices) {
      const item = { splices, meta: new Map() }
      steps.push(item)
      tell('added', item)
    },
    grow: () => tell('updated', steps.at(-1)),
    undo () {
      calls.push('undo')
      const item = steps.pop()
      if (item !== undefined) text.receive(...item.splices)
      tell(item === undefined ? 'cleared' : 'undone', item)
      return item !== undefined
    },
    redo () {
      calls.push('redo')
      text.receive({ position: 0, deleted: 0, inserted: 'again ' })
      tell('redone')
      return true
    },
    onChange (listen) {
      listeners.add(listen)
      return () => { listeners.delete(listen) }
    }
  }
}

t.test('EX-14 undo and redo go to the undo manager; undo puts the selection back', async (t) => {
  const text = createPlainText('one two three')
  const steps = createSteps(text)
  const editor = createBareEditor(nodalmergeText(text, { undo: steps }), { doc: text.toString(), selection: { anchor: 4, head: 7 } })
  editor.dispatch({ changes: { from: 4, to: 7, insert: 'zwei' }, selection: { anchor: 8 } })
  editor.dispatch({ changes: { from: 8, insert: '!' }, selection: { anchor: 9 } })
  steps.step([{ position: 4, deleted: 5, inserted: 'two' }])
  editor.dispatch({ changes: { from: 9, insert: '?' }, selection: { anchor: 10 } })
  steps.grow()
  text.receive({ position: 0, deleted: 0, inserted: '1 ' })
  text.receive({ position: 0, deleted: 2, inserted: '' })
  const keys = editor.state.facet(keymap).flat()
  const press = (name: string, shift = false): unknown => keys.filter(({ key }) => key === name).map((binding) => (shift ? binding.shift : binding.run)?.(editor as unknown as EditorView))[0]
  t.ok(press('Mod-z'))
  t.equal(editor.content.slice(0, 7), 'one two')
  t.same(editor.state.selection.main.toJSON(), { anchor: 4, head: 8 })
  t.ok(press('Mod-z'), 'with nothing to undo the key is not left to the browser')
  t.ok(press('Mod-z', true))
  t.equal(editor.state.selection.main.head, 6, 'redo goes behind what changed')
  t.ok(press('Mod-y'))
  t.same(steps.calls, ['undo', 'undo', 'redo', 'redo'])
  steps.step([{ position: 0, deleted: 6, inserted: '' }])
  steps.undo()
  t.equal(editor.state.selection.main.head, 0, 'a step that was not written here has no selection')
  editor.dispatch({ selection: { anchor: 5 } })
  steps.step([])
  steps.undo()
  t.equal(editor.state.selection.main.head, 5, 'a step on something else leaves it alone')
  editor.destroy()
  steps.redo()
  t.equal(editor.state.selection.main.head, 5, 'an editor that is gone is left alone')
})

t.test('EX-15 undo by a menu or a gesture goes the same way', async (t) => {
  const text = createPlainText('')
  const steps = createSteps(text)
  const extension = nodalmergeText(text, { undo: steps })
  t.ok(EditorState.create({ extensions: extension }))
  const handlers = handlersOf(extension)
  t.same(['historyUndo', 'historyRedo', 'insertText'].map((inputType) => handlers({ inputType })), [true, true, false])
  t.same(steps.calls, ['undo', 'redo'])
})

/** The handler of `beforeinput` among the plugins of an extension. */
function handlersOf (extension: unknown): (event: object) => boolean {
  if (Array.isArray(extension)) return extension.map(handlersOf).find((handle) => handle !== none) ?? none
  const handle = Reflect.get(Object(Reflect.get(Object(extension), 'domEventHandlers')), 'beforeinput')
  return typeof handle === 'function' ? handle as (event: object) => boolean : none
}

const none = (): boolean => false
