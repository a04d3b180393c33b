import t from 'tap'
import { history, undo as undoOwn } from '@codemirror/commands'
import { Text } from '@codemirror/state'
import { EditorView } from '@codemirror/view'
import fc from 'fast-check'
import { nodalmergeText } from '../../lib/client/codemirror.js'
import { type Splice, changesOf, difference } from '../../lib/client/codemirror-splices.js'
import { createBareEditor, microtasks } from './codemirror-editor.js'
import { type PlainText, createPlainText } from './codemirror-text.js'

const bound = (text: PlainText, doc = text.toString()) => createBareEditor(nodalmergeText(text), { doc })

t.test('EX-1 what is typed in an editor reaches the text as splices in order, once', async (t) => {
  const text = createPlainText('one two three')
  const editor = bound(text)
  editor.dispatch({ changes: [{ from: 0, to: 3, insert: '1' }, { from: 8, to: 13, insert: 'drei' }] })
  t.equal(text.toString(), '1 two drei')
  t.same(text.applied, [[{ position: 0, deleted: 3, inserted: '1' }, { position: 6, deleted: 5, inserted: 'drei' }]])
  editor.dispatch({ selection: { anchor: 2 } })
  editor.dispatch({})
  t.equal(text.applied.length, 1, 'nothing is written where nothing is changed')
  const first = editor.state.update({ changes: { from: 0, insert: 'a' } })
  editor.update([first, first.state.update({ changes: { from: 1, insert: 'b' } })])
  t.equal(text.toString(), 'ab1 two drei')
  t.equal(editor.content, text.toString())
})

t.test('EX-2 what changes in the text shows in the editor and is not written back', async (t) => {
  const text = createPlainText('one two three')
  const editor = bound(text)
  editor.dispatch({ selection: { anchor: 7 } })
  text.receive({ position: 0, deleted: 3, inserted: '' }, { position: 0, deleted: 0, inserted: 'zero' }, { position: 9, deleted: 5, inserted: '3' })
  t.equal(editor.content, 'zero two 3')
  t.equal(editor.state.selection.main.head, 8, 'the selection keeps its place')
  text.receive()
  t.same(text.applied, [])
  editor.destroy()
  text.receive({ position: 0, deleted: 4, inserted: '' })
  t.equal(editor.content, 'zero two 3', 'an editor that is gone is left alone')
})

t.test('EX-3 an editor that was created with other content takes the text\'s', async (t) => {
  const text = createPlainText('the text as it is')
  const editor = bound(text, 'the text as it was')
  await microtasks()
  t.equal(editor.content, 'the text as it is')
  t.same(text.applied, [])
  const gone = bound(text, '')
  gone.destroy()
  await microtasks()
  t.equal(gone.content, '')
})

t.test('EX-4 an editor and a text are the same after any edits on both sides', async (t) => {
  const splice = fc.record({ position: fc.nat(40), deleted: fc.nat(6), inserted: fc.string({ unit: fc.constantFrom('a', 'b', '\n', 'é', '😀'), maxLength: 4 }) })
  const side = fc.record({ own: fc.boolean(), splices: fc.array(splice, { maxLength: 9 }) })
  await fc.assert(fc.asyncProperty(fc.array(side, { maxLength: 12 }), async (edits) => {
    const text = createPlainText('hello')
    const editor = bound(text)
    for (const { own, splices } of edits) {
      const fitting = fit(splices, text.toString())
      if (own) editor.dispatch({ changes: changesOf(fitting, text.length) })
      else text.receive(...fitting)
      await microtasks()
      t.equal(editor.content, text.toString())
    }
  }), { numRuns: 150 })
})

/** Splices with positions between whole characters of what those before them leave. */
function fit (splices: readonly Splice[], content: string): Splice[] {
  return splices.map(({ position, deleted, inserted }) => {
    const from = boundary(content, Math.min(position, content.length))
    const to = boundary(content, Math.min(from + deleted, content.length))
    content = content.slice(0, from) + inserted + content.slice(to)
    return { position: from, deleted: Math.max(0, to - from), inserted }
  })
}

const boundary = (content: string, at: number): number => /[\udc00-\udfff]/.test(content.charAt(at)) ? at - 1 : at

t.test('EX-5 what a transaction, another observer or half a character makes of an edit is fetched back', async (t) => {
  const text = createPlainText('abc')
  const editor = bound(text)
  text.transact(() => {
    text.receive({ position: 3, deleted: 0, inserted: '!' })
    editor.dispatch({ changes: { from: 0, insert: 'x' } })
  })
  await microtasks()
  t.equal(editor.content, 'xabc!', 'within a transaction the text tells at its end')
  text.transact(() => editor.dispatch({ changes: { from: 1, insert: 'z' } }))
  await microtasks()
  t.equal(editor.content, 'xzabc!', 'what it tells then is not applied a second time')
  editor.dispatch({ changes: { from: 1, to: 2 } })
  const stop = text.observe(({ splices }) => {
    if (splices[0]?.inserted === '(') text.receive({ position: splices[0].position + 1, deleted: 0, inserted: ')' })
  })
  editor.dispatch({ changes: { from: 5, insert: '(' } })
  await microtasks()
  stop()
  t.equal(text.toString(), 'xabc!()')
  t.equal(editor.content, 'xabc!()')
  editor.dispatch({ changes: { from: 0, to: 1, insert: '\ud83d' } })
  await microtasks()
  t.equal(text.toString(), '\ufffdabc!()')
  t.equal(editor.content, text.toString())
  text.apply = () => { throw new Error('closed') }
  t.throws(() => editor.dispatch({ changes: { from: 0, insert: 'x' } }), { message: 'closed' })
})

t.test('EX-6 line breaks are one unit: positions in the editor are positions in the text', async (t) => {
  const text = createPlainText('a\r\nb\rc\n')
  const editor = bound(text)
  t.equal(editor.content, text.toString())
  t.equal(editor.state.doc.lines, 3)
  text.receive({ position: 7, deleted: 0, inserted: 'd\r\n' })
  t.equal(editor.content, 'a\r\nb\rc\nd\r\n')
  editor.dispatch({ changes: { from: 9, to: 10 } })
  t.equal(text.toString(), 'a\r\nb\rc\nd\r')
  const pasted = editor.state.facet(EditorView.clipboardInputFilter).reduce((now, filter) => filter(now, editor.state), '1\r\n2\r3\n')
  t.equal(pasted, '1\n2\n3\n')
})

t.test('EX-7 what the text brings is no step of CodeMirror\'s own history', async (t) => {
  const text = createPlainText('base')
  const editor = createBareEditor([nodalmergeText(text), history()], { doc: 'base' })
  editor.dispatch({ changes: { from: 4, insert: ' own' } })
  text.receive({ position: 0, deleted: 0, inserted: 'their ' })
  t.ok(undoOwn({ state: editor.state, dispatch: (transaction) => editor.update([transaction]) }))
  t.equal(text.toString(), 'their base')
  t.notOk(undoOwn({ state: editor.state, dispatch: (transaction) => editor.update([transaction]) }))
})

t.test('EX-8 very many splices at once are taken over as one change', async (t) => {
  const text = createPlainText('<>')
  const editor = bound(text)
  text.receive(...Array.from({ length: 20_000 }, (_, i) => ({ position: 1 + (i % 2) * i, deleted: 0, inserted: 'x' })))
  t.equal(editor.content, `<${'x'.repeat(20_000)}>`)
  t.same(text.applied, [])
  t.equal(changesOf([], 5).length, 5)
  t.equal(changesOf([{ position: 1, deleted: 1, inserted: 'é' }], 3).apply(Text.of(['abc'])).toString(), 'aéc')
  t.equal(difference('same', 'same'), null)
  t.same(difference('aaa', 'aa'), { from: 2, to: 3, insert: '' })
})

t.test('EX-9 what is no text is refused at once', async (t) => {
  for (const wrong of [undefined, null, 'body', {}, { apply () {} }]) t.throws(() => nodalmergeText(wrong as unknown as PlainText), TypeError)
})
