import t from 'tap'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Anchor, TextOp } from '../../lib/protocol/op.js'
import { authorBytes, compareAuthors, createAuthors, internAuthor } from '../../lib/state/authors.js'
import { createText, type Splice } from '../../lib/state/text.js'
import { lastLamport } from '../../lib/state/text-ids.js'
import { behindFrom, catchUp, createTextOrder, replayTail, rewind, takeIn, type TextOrder } from '../../lib/state/text-order.js'
import { createTextState } from '../../lib/state/text-state.js'
import { growth } from '../protocol/growth.js'
import { published } from '../protocol/vectors.js'
import { LAMPORTS, after, anyNodes as arbitraryNodes, anyTextOp, end, gone, offset, one, opId, range, removal, start } from './arbitrary.js'
import { checkSequence } from './check-sequence.js'
import { bytes, shuffled } from './nodes.js'
import { NaiveText, type Written } from './oracle.js'
import { editsToOps, loadConcurrent, loadSequential, standInId } from './traces.js'

let made = 0
const node = (lamport: number, author: number, ...ops: TextOp[]): Written => ({ id: standInId(++made), author: bytes(author), lamport, ops })

function textOf (...nodes: Written[]) {
  const text = createText()
  for (const written of nodes) text.apply(written, written.ops)
  return text
}

const anyNodes = (length: number) => arbitraryNodes(anyTextOp, length)

t.test('TX-1 the published scenarios hold', async (t) => {
  const results = published.reference.text_scenarios.map((scenario: { result: string }) => scenario.result)
  t.equal(`${textOf(node(1, 1, one('h', null)), node(2, 1, one('i', opId(1, 1))))}`, results[0])
  t.equal(`${textOf(node(1, 1, one('a', null)), node(2, 1, one('c', opId(1, 1))), node(3, 1, one('b', opId(1, 1))))}`, results[1])
  const anchors: Record<string, Anchor> = { Start: start, End: end }
  for (const { ops, result } of published.reference.text_scenarios.slice(2)) {
    let lamport = 1
    const nodes = ops.map((op: Record<string, { anchor: string | { Offset: number }, text: string, len: number }>) => {
      const { anchor, text, len } = op.insert_range ?? op.delete_range
      const at = typeof anchor === 'string' ? anchors[anchor] : offset(anchor.Offset)
      const written = node(lamport, 1, op.insert_range === undefined ? removal(at, len) : range(at, text))
      lamport += text?.length ?? 1
      return written
    })
    t.equal(`${textOf(...nodes)}`, result)
  }
})

t.test('TX-2 the text equals a plain canonical replay', async (t) => {
  for (const [length, numRuns] of [[12, 400], [60, 80]]) {
    fc.assert(fc.property(anyNodes(length).chain((nodes) => fc.tuple(shuffled([...nodes, ...nodes.slice(0, 3)]), fc.array(fc.boolean(), { minLength: 2 * length, maxLength: 2 * length }))), ([nodes, reads]) => {
      const text = createText()
      nodes.forEach((written, i) => {
        text.apply(written, written.ops)
        if (reads[i]) assert.equal(text.toString(), NaiveText.canonical(nodes.slice(0, i + 1)).toString())
      })
      const naive = NaiveText.canonical(nodes)
      assert.equal(text.toString(), naive.toString())
      assert.deepEqual([text.length, text.scalars], [naive.toString().length, naive.visible.length])
    }), { numRuns })
  }
  t.pass()
})

t.test('TX-2 a range stays together, and a smaller id goes behind the greater ones it meets', async (t) => {
  t.equal(`${textOf(node(5, 1, range(start, 'abc')), node(6, 2, one('X', opId(7, 1))))}`, 'abcX')
  t.equal(`${textOf(node(5, 3, range(start, 'abc')), node(6, 1, one('X', opId(5, 3))))}`, 'abcX', 'b and c have greater ids')
  t.equal(`${textOf(node(5, 3, range(start, 'abc')), node(6, 4, one('X', opId(5, 3))))}`, 'aXbc', 'b has a smaller one')
  t.equal(`${textOf(node(5, 3, range(start, 'abc')), node(5, 4, one('X', opId(5, 3))), node(6, 1, one('Y', opId(5, 3))))}`, 'abcYX')
  t.equal(`${textOf(node(1, 1, range(start, 'ab')), node(2, 2, removal(start, 1)), node(3, 3, range(after(1, 1), 'X')))}`, 'bX', 'behind a deleted character is the end')
  t.equal(`${textOf(node(1, 1, range(start, 'ab')), node(2, 2, removal(start, 1)), node(3, 3, one('X', opId(1, 1))))}`, 'Xb', 'but not for a single character')
  t.equal(`${textOf(node(1, 1, range(start, 'ab'), range(end, 'xyz')))}`, 'abz', 'ids that collide are dropped')
  t.equal(`${textOf(node(1, 1, range(start, 'abc')), node(9, 1, removal(offset(1), 0xffffffffff)))}`, 'a')
  t.equal(`${textOf(node(1, 1, range(start, 'abc')), node(9, 1, removal(end, 2), removal(offset(3), 1), removal(after(9, 9), 1), range(start, '')))}`, 'abc')
})

t.test('TX-3 the node id decides between equals, and a node counts once', async (t) => {
  const low = { id: bytes(1), author: bytes(1), lamport: 3, ops: [range(start, 'low')] }
  const high = { id: bytes(2), author: bytes(1), lamport: 3, ops: [range(start, 'high')] }
  t.equal(`${textOf(low, high)}`, 'lowh')
  t.equal(`${textOf(high, low)}`, 'lowh')
  t.equal(`${textOf(high, low, high, low, low)}`, 'lowh')
  t.equal(`${textOf(low, low, high, high)}`, 'lowh')
  const early = node(1, 2, range(start, 'e'))
  t.equal(`${textOf(high, early, early, low, early)}`, 'lowhe')
  const text = textOf(high)
  text.apply(early, [])
  t.equal(`${text}`, 'high', 'no operations, no node')
})

t.test('TX-4 a recorded history of one author replays to its exact end', async (t) => {
  const trace = loadSequential()
  const text = createText()
  let edits = 0
  for (const { author, lamport, op } of editsToOps(trace)) text.apply({ id: standInId(edits++), author, lamport }, [op])
  t.equal(edits, 259_778)
  t.ok(text.toString() === trace.endContent)
  t.ok(text.slice(1000, 5000) === trace.endContent.slice(1000, 5000))
})

t.test('TX-5 a recorded history of two authors replays to its exact end', async (t) => {
  const trace = loadConcurrent()
  const edits = [...editsToOps(trace, 'characters')]
  t.equal(edits.length, 26_078)
  const read = createText()
  const lazy = createText()
  let last = 0
  edits.forEach(({ agent, author, lamport, op }, i) => {
    if (agent !== last) read.settle()
    last = agent
    for (const text of [read, lazy]) text.apply({ id: standInId(i), author, lamport }, [op])
  })
  t.ok(read.toString() === trace.endContent)
  t.ok(lazy.toString() === trace.endContent)
})

t.test('TX-6 the text as of a lamport', async (t) => {
  fc.assert(fc.property(anyNodes(25), fc.integer({ min: 0, max: LAMPORTS + 1 }), (nodes, lamport) => {
    const text = textOf(...nodes)
    const told: Splice[] = []
    text.observe((splices) => told.push(...splices))
    assert.equal(text.at(lamport), NaiveText.canonical(nodes.filter((written) => written.lamport <= lamport)).toString())
    assert.equal(text.toString(), NaiveText.canonical(nodes).toString())
    text.settle()
    assert.deepEqual(told, [])
  }))
  t.pass()
})

t.test('TX-7 positions are UTF-16 units and map to ids and scalars', async (t) => {
  fc.assert(fc.property(anyNodes(25), (nodes) => {
    const text = textOf(...nodes)
    const chars = NaiveText.canonical(nodes).visible
    let at = 0
    chars.forEach(({ id, text: char }, i) => {
      for (let unit = at; unit < at + char.length; unit++) assert.deepEqual([text.idAt(unit), text.toScalars(unit)], [id, i])
      assert.deepEqual([text.toUnits(i), text.positionOf(id)], [at, at])
      at += char.length
    })
    assert.deepEqual([text.idAt(at), text.toScalars(at), text.toUnits(chars.length), text.toUnits(99)], [null, chars.length, at, at])
    const whole = text.toString()
    for (let from = 0; from <= at; from++) for (let to = 0; to <= at + 1; to++) assert.equal(text.slice(from, to), from > to ? '' : whole.slice(from, to))
    assert.equal(text.slice(0), whole)
  }), { numRuns: 40 })
  const text = textOf(node(1, 1, range(start, 'ab')), node(3, 1, removal(start, 1)))
  t.same([text.positionOf(opId(1, 1)), text.positionOf(opId(2, 1)), text.positionOf(opId(9, 1)), text.positionOf(opId(1, 9))], [null, 0, null, null])
  const waiting = textOf(node(1, 1, one('w', opId(7, 7))))
  t.same([waiting.positionOf(opId(1, 1)), waiting.length], [null, 0])
  const long = '\u{1f600}x'.repeat(1000)
  const mixed = textOf(node(1, 1, range(start, long)))
  t.same([mixed.toUnits(1001), mixed.toScalars(1501), mixed.slice(1500, 1504), mixed.toString()], [1502, 1000, long.slice(1500, 1504), long])
  for (const wrong of [-1, NaN]) t.throws(() => text.idAt(wrong), RangeError)
  t.throws(() => text.slice('0' as unknown as number), TypeError)
})

t.test('TX-8 an anchor names the character before a position', async (t) => {
  const text = textOf(node(1, 1, range(start, 'a\u{1f600}b')))
  t.same([0, 1, 2, 3, 4, 9].map((position) => text.anchorAt(position)), [start, after(1, 1), after(2, 1), after(2, 1), end, end])
})

t.test('TX-9 splices lead from what observers knew to what is', async (t) => {
  fc.assert(fc.property(anyNodes(30), fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 30, maxLength: 30 }), (nodes, steps) => {
    const text = createText()
    let known = ''
    text.observe((splices) => {
      assert.ok(splices.length > 0)
      for (const { position, deleted, inserted } of splices) {
        assert.ok(position + deleted <= known.length)
        known = known.slice(0, position) + inserted + known.slice(position + deleted)
      }
    })
    nodes.forEach((written, i) => {
      text.apply(written, written.ops)
      if (steps[i] === 1) text.toString()
      if (steps[i] > 1) {
        text.settle()
        assert.equal(known, text.toString())
      }
    })
    text.settle()
    assert.equal(known, text.toString())
  }), { numRuns: 300 })

  const text = textOf(node(1, 1, range(start, 'hello world')))
  const told: Splice[][] = []
  const stop = text.observe((splices) => told.push([...splices]))
  const next = () => { text.settle(); return told.pop() }
  const apply = (written: Written) => text.apply(written, written.ops)
  apply(node(20, 1, range(after(11, 1), '!')))
  apply(node(21, 1, range(after(20, 1), '!')))
  apply(node(22, 1, removal(start, 1)))
  t.same(next(), [{ position: 0, deleted: 1, inserted: '' }, { position: 10, deleted: 0, inserted: '!!' }])
  apply(node(15, 2, one('\u{1f600}', opId(6, 1))))
  t.same(next(), [{ position: 5, deleted: 0, inserted: '\u{1f600}' }], 'only what the late node changed')
  apply(node(23, 1, range(start, 'x')))
  apply(node(24, 1, removal(start, 1)))
  t.equal(next(), undefined, 'what came and went is not told')
  apply(node(16, 2, removal(after(20, 9), 3)))
  t.equal(next(), undefined, 'nor what changes nothing')
  apply(node(17, 2, range(start, 'z')))
  const others: Splice[] = []
  const leave = text.observe((splices) => others.push(...splices))
  t.same([told.pop(), others], [[{ position: 0, deleted: 0, inserted: 'h' }], []], 'a new observer starts from what is (the later deletion now takes the z)')
  leave()
  stop()
  apply(node(25, 1, range(start, 'y')))
  t.equal(next(), undefined)
})

/** A text's insides, to look at what undoing leaves. */
function insides (): TextOrder {
  return createTextOrder(createTextState(createAuthors()))
}

t.test('TX-10 undoing leaves nothing behind', async (t) => {
  fc.assert(fc.property(anyNodes(40), fc.array(fc.nat(), { minLength: 8, maxLength: 8 }), (nodes, cuts) => {
    const order = insides()
    const { state } = order
    const content = () => JSON.stringify([
      [...state.waiting].flatMap(([author, byLamport]) => [...byLamport].map(([lamport, slots]) => `${author} ${lamport} ${slots}`)).sort(),
      [...state.pending].flatMap(([author, lamports]) => [...lamports].map((lamport) => `${author} ${lamport}`)).sort(),
      state.effects.used, state.ids.byAuthor.map((_, author) => lastLamport(state.ids, author)).filter((last) => last >= 0), checkSequence(state.sequence)
    ])
    const contents: string[] = [content()]
    for (const written of NaiveText.order(nodes)) {
      takeIn(order, written, written.ops)
      contents[order.applied] = content()
    }
    assert.equal(order.late.length, 0)
    for (const cut of [...cuts, 0]) {
      let to = cut % (order.applied + 1)
      while (contents[to] === undefined) to--
      const tail = rewind(order, to)
      assert.equal(content(), contents[to])
      replayTail(order, tail)
      assert.equal(content(), contents[order.applied])
    }
  }), { numRuns: 150 })
  t.pass()
})

t.test('TX-10 a large text comes apart and together again', async (t) => {
  let seed = 7
  const random = (n: number) => { seed = Math.imul(seed, 1103515245) + 12345 >>> 0; return (seed >>> 8) % n }
  const nodes = Array.from({ length: 6000 }, (_, i): Written => {
    const op = random(4) === 0 ? removal(offset(random(i + 1)), 1 + random(3)) : range(offset(random(i + 1)), random(8) === 0 ? '\u{1f600}\u{1f601}' : 'x')
    return { id: standInId(i), author: bytes(1 + random(3)), lamport: 2 * i + 2, ops: [op] }
  })
  const order = insides()
  const { sequence } = order.state
  const texts: string[] = ['']
  for (const [i, written] of nodes.entries()) {
    takeIn(order, written, written.ops)
    if (i % 1000 === 999) texts.push(checkSequence(sequence))
  }
  t.ok(sequence.level[sequence.root] >= 2, 'a tree of several levels')
  for (const to of [3000, 0, 5000, 0]) {
    const tail = rewind(order, to)
    t.ok(checkSequence(sequence) === texts[to / 1000])
    if (to === 0) t.equal(sequence.level[sequence.root], 0)
    replayTail(order, tail)
    t.ok(checkSequence(sequence) === texts[6])
  }
  const first = node(1, 9, range(start, 'first'))
  takeIn(order, first, first.ops)
  catchUp(order, behindFrom(order))
  const inOrder = insides()
  for (const written of [first, ...nodes]) takeIn(inOrder, written, written.ops)
  t.ok(checkSequence(sequence) === checkSequence(inOrder.state.sequence))
})

t.test('TX-10 runs that were cut grow together again', async (t) => {
  const order = insides()
  const { sequence } = order.state
  const runs = () => sequence.count[sequence.root]
  const take = (lamport: number, op: TextOp) => { const written = node(lamport, 1, op); takeIn(order, written, written.ops) }
  take(1, range(start, 'abcdefghij'))
  for (const [i, at] of [3, 7, 8, 1].entries()) take(20 + i, gone(opId(at, 1)))
  take(30, one('X', opId(5, 1)))
  t.same([runs(), checkSequence(sequence)], [8, '[a]b[c]deXf[g][h]ij'])
  take(31, gone(opId(2, 1)))
  t.same([runs(), checkSequence(sequence)], [6, '[a][b][c]deXf[g][h]ij'])
  for (const left of [5, 4, 3, 2]) rewind(order, left)
  t.same([runs(), checkSequence(sequence)], [3, 'ab[c]defghij'])
  rewind(order, 1)
  t.same([runs(), checkSequence(sequence)], [1, 'abcdefghij'])
})

t.test('TX-11 applying does not cost more in a long text', async (t) => {
  const typed = growth((size) => {
    const text = createText()
    for (let i = 1; i <= size; i++) text.apply({ id: standInId(i), author: bytes(1), lamport: i }, [range(offset(i * 7919 % i), 'x')])
  }, 2000)
  t.ok(typed < 30, `typing: ${typed}`)
  const merged = growth((size) => {
    const text = createText()
    for (const author of [1, 2]) {
      for (let i = 1; i <= size; i++) text.apply({ id: standInId(i), author: bytes(author), lamport: i }, [one('x', i === 1 ? null : opId(i - 1, author))])
    }
    assert.equal(text.length, 2 * size)
  }, 2000)
  t.ok(merged < 30, `merging: ${merged}`)
})

t.test('TX-12 authors are told apart by all their bytes, however many', async (t) => {
  const keys = Array.from({ length: 500 }, (_, i) => {
    const key = bytes(7)
    key[i % 2 === 0 ? 0 : 16] = i >> 1
    return key
  })
  const authors = createAuthors()
  const distinct = new Set(keys.map((key) => Buffer.from(key).toString('hex')))
  const numbers = keys.map((key) => internAuthor(authors, key))
  t.equal(authors.count, distinct.size)
  t.same(keys.map((key) => internAuthor(authors, key.slice())), numbers)
  t.same(numbers.map((number) => authorBytes(authors, number)), keys)
  for (let i = 1; i < keys.length; i++) {
    assert.equal(Math.sign(compareAuthors(authors, numbers[i - 1], numbers[i])), Buffer.compare(keys[i - 1], keys[i]))
  }
})
