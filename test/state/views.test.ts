import t from 'tap'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { ListOp, MapOp, TextOp } from '../../lib/protocol/op.js'
import type { Change } from '../../lib/state/change.js'
import { type AppliedNode, type Document, createDocument } from '../../lib/state/document.js'
import { createViews } from '../../lib/state/views.js'
import { createMap } from '../../lib/state/map.js'
import { growth } from '../protocol/growth.js'
import { after, anyNodes, anyOp, end, gone, offset, one, opId, range, removal, start } from './arbitrary.js'
import { bytes, set, shuffled, written } from './nodes.js'
import { NaiveText, type Written } from './oracle.js'
import { standInId } from './traces.js'

const TEXTS = ['t', 'u']
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

/** Everything a document shows. */
function picture (document: Document) {
  const { map } = document
  return {
    entries: map.sorted().map(([key, value]) => [key, hex(value), map.isBlob(key)]),
    writers: [...map.keys()].sort().map((key) => [key, hex(map.writer(key)?.id ?? new Uint8Array())]),
    size: map.size,
    blobs: [...map.blobs()].sort(),
    lists: document.list('l').items().map(({ id, position }) => [hex(id), position]),
    texts: TEXTS.map((key) => document.text(key).toString()),
    keys: (['map', 'list', 'text'] as const).map((family) => document.keys(family).sort())
  }
}

function fresh (nodes: readonly AppliedNode[]): Document {
  const document = createDocument()
  for (const node of nodes) document.apply(node)
  return document
}

function oracle (nodes: readonly AppliedNode[], key: string): string {
  const written = nodes.map((node): Written => ({ ...node, ops: node.ops.filter((op): op is TextOp => op.type.startsWith('text-') && op.key === key) }))
  return NaiveText.canonical(written).toString()
}

/** What a reader of changes believes, with a check of every change against what is shown. */
function follower (document: Document) {
  const texts = new Map(TEXTS.map((key) => [key, '']))
  let map = new Map<string, string>()
  let list = '[]'
  const shown = () => new Map([...document.map.entries()].map(([key, value]) => [key, `${hex(value)} ${document.map.isBlob(key)}`]))
  return (change: Change): void => {
    for (const [key, splices] of change.texts) {
      assert.ok(splices.length > 0)
      for (const { position, deleted, inserted } of splices) {
        const text = texts.get(key) ?? ''
        assert.ok(position + deleted <= text.length)
        texts.set(key, text.slice(0, position) + inserted + text.slice(position + deleted))
      }
    }
    assert.deepEqual([...texts.values()], TEXTS.map((key) => document.text(key).toString()))
    const now = shown()
    const differing = [...new Set([...map.keys(), ...now.keys()])].filter((key) => map.get(key) !== now.get(key))
    assert.deepEqual([...change.maps.keys()].sort(), differing.sort())
    for (const [key, { old, blob }] of change.maps) assert.equal(old && `${hex(old)} ${blob}`, map.get(key))
    map = now
    const items = JSON.stringify(picture(document).lists)
    if (items !== list) assert.ok(change.lists.has('l'))
    list = items
  }
}

t.test('VW-1 and VW-2 a document with nodes taken out is one that never had them, and changes lead from one to the next', async (t) => {
  const step = fc.tuple(fc.constantFrom('reject', 'reject', 'confirm', 'echo', 'settle', 'settle', 'read', 'canonical'), fc.nat())
  const run = fc.tuple(anyNodes(anyOp, 30).chain((nodes) => shuffled(nodes)), fc.array(fc.boolean(), { minLength: 30, maxLength: 30 }), fc.array(fc.array(step, { maxLength: 3 }), { minLength: 30, maxLength: 30, size: 'max' }))
  fc.assert(fc.property(run, ([nodes, own, steps]) => {
    const confirmed: AppliedNode[] = []
    const local: AppliedNode[] = []
    const views = createViews({ confirmed: () => confirmed })
    const follow = follower(views.document)
    const receive = (node: AppliedNode) => { confirmed.push(node); views.remote(node) }
    nodes.forEach((node, i) => {
      if (own[i]) {
        local.push(node)
        views.local(node)
      } else {
        receive(node)
      }
      for (const [what, n] of steps[i]) {
        const [chosen] = ['reject', 'confirm', 'echo'].includes(what) ? local.splice(n % (local.length || 1), 1) : []
        if (what === 'settle') follow(views.settle())
        else if (what === 'read') assert.deepEqual(picture(views.document), picture(fresh([...local, ...confirmed])))
        else if (what === 'canonical') assert.deepEqual(picture(views.canonical), picture(fresh(confirmed)))
        else if (chosen === undefined) continue
        else if (what === 'echo') receive(chosen)
        else if (what === 'confirm') {
          confirmed.push(chosen)
          assert.equal(views.confirm(chosen.id), true)
        } else {
          assert.equal(views.reject(chosen.id), true)
          if (n % 4 === 0) receive(chosen)
        }
      }
    })
    assert.equal(views.unconfirmed, local.length)
    follow(views.settle())
    assert.deepEqual(picture(views.document), picture(fresh([...local, ...confirmed])))
    assert.deepEqual(TEXTS.map((key) => views.document.text(key).toString()), TEXTS.map((key) => oracle([...local, ...confirmed], key)))
    assert.deepEqual(picture(views.canonical), picture(fresh(confirmed)))
    for (const node of local) views.reject(node.id)
    follow(views.settle())
    assert.deepEqual(picture(views.document), picture(views.canonical))
  }), { numRuns: 500 })
  t.pass()
})

t.test('VW-1 a document forgets a refused node, with what it named and hid', async (t) => {
  const confirmed: AppliedNode[] = []
  const told: unknown[] = []
  const views = createViews({ confirmed: () => confirmed, onConflict: (conflict) => told.push(conflict), follow: (family, key) => key !== 'not followed' && family !== 'list' })
  const blob: MapOp = { type: 'map-set-blob', key: 'k', hash: bytes(7) }
  const refused = written(1, 1, 5, blob, set('k', 'the first of a node counts'), one('x', null, 'text'), gone(opId(1, 2), 'text'), range(start, 'y', 'not followed'))
  views.local(refused)
  views.local(written(2, 1, 6, blob))
  views.remote(written(3, 2, 1, range(start, 'a', 'text')))
  t.same([views.document.text('text').toString(), views.document.keys('text'), views.document.map.blobs().size], ['x', ['text'], 1])
  views.local(written(4, 1, 7, one('z', null, 'other')))
  t.same(views.document.keys('text'), ['text', 'other'])
  t.same([views.reject(refused.id), views.reject(refused.id), views.reject(bytes(4)), views.confirm(bytes(4)), views.unconfirmed], [true, false, true, false, 1])
  t.same([views.document.text('text').toString(), views.document.text('other').toString(), views.document.keys('text')], ['a', '', ['text']])
  t.same([views.document.map.isBlob('k'), views.document.map.blobs().size], [true, 1], 'the other node still names the blob')
  t.equal(views.reject(bytes(2)), true)
  t.same([[...views.document.map.keys()], views.document.map.blobs().size, views.document.keys('map'), told], [[], 0, [], []])
  views.local(written(5, 1, 8, blob))
  views.remote(written(6, 2, 2, blob))
  views.reject(bytes(5))
  t.equal(views.document.map.blobs().size, 1, 'someone else named it')
  t.equal(told.length, 1, 'the conflict is told once')
  const zero = written(0, 0, 0, set('k', 'never wins'), { type: 'list-delete', key: 'l', item: bytes(1, 16) })
  views.local(zero)
  views.reject(zero.id)
  const plain = createDocument()
  const list: ListOp = { type: 'list-insert', key: 'l', item: bytes(1, 16), position: 'V' }
  plain.applyLocal(zero)
  plain.applyLocal(written(1, 1, 1, list))
  plain.confirm(written(1, 1, 1, list))
  for (const node of [zero, written(1, 1, 1, list), written(9, 9, 9, list, set('k', 'never applied'), one('x', null))]) plain.retract(node)
  t.same([plain.list('l').length, plain.map.size, plain.keys('list')], [1, 0, ['l']], 'taking out what was not local changes nothing')
})

t.test('VW-2 a change is what is shown otherwise, not what was written', async (t) => {
  const views = createViews({ confirmed: () => [] })
  const { map } = views.document
  const hash = bytes(7)
  const plain = written(1, 1, 1, { type: 'map-set', key: 'k', value: hash })
  views.remote(plain)
  views.settle()
  const own = [written(2, 1, 2, { type: 'map-set-blob', key: 'k', hash }), written(3, 1, 3, set('k', 'v')), written(4, 1, 4, { type: 'map-delete', key: 'new' })]
  views.local(own[0])
  t.same([...views.settle().maps], [['k', { old: hash, blob: false }]], 'the same bytes, but a blob now')
  views.local(own[1])
  views.local(own[2])
  t.same([...views.settle().maps], [['k', { old: hash, blob: true }]])
  t.equal(map.retract(own[0], own[0].ops[0] as MapOp), false, 'the key shows another')
  t.equal(map.retract(own[1], own[1].ops[0] as MapOp), true)
  t.equal(map.applyLocal(own[1], own[1].ops[0] as MapOp), true)
  t.equal(map.applyLocal(own[1], set('k', 'once more') as MapOp), false, 'the first of a node counts')
  t.same([...views.settle().maps], [])
})

t.test('VW-3 a namespace is listed without a look at the rest', async (t) => {
  const segment = fc.constantFrom('', 'a', 'b', 'ab')
  const key = fc.oneof(fc.array(segment, { maxLength: 4 }).map((parts) => parts.join('/')), fc.tuple(fc.nat(40), segment).map(([n, end]) => '/'.repeat(n) + end))
  fc.assert(fc.property(fc.array(fc.tuple(key, fc.boolean()), { maxLength: 40 }), fc.nat(40), fc.array(key), (writes, asked, prefixes) => {
    const map = createMap()
    writes.forEach(([key, present], i) => {
      map.apply({ lamport: i + 1, author: bytes(1), id: bytes(1) }, present ? set(key, `${i}`) as MapOp : { type: 'map-delete', key })
      if (i < asked) return
      for (const prefix of ['', 'a/', ...prefixes]) {
        const expected = [...map.entries()].filter(([key]) => key.startsWith(prefix)).map(([key]) => key).sort()
        assert.deepEqual([...map.entriesUnder(prefix)].map(([key]) => key).sort(), expected)
        assert.equal(map.sizeUnder(prefix), expected.length)
      }
    })
  }), { numRuns: 300 })
  const map = createMap()
  map.apply({ lamport: 1, author: bytes(1), id: bytes(1) }, set('a/x', 'x') as MapOp)
  const listing = map.entriesUnder('a/')
  map.apply({ lamport: 2, author: bytes(1), id: bytes(1) }, set('a/y', 'y') as MapOp)
  t.equal([...listing].length, 2)
  map.apply({ lamport: 3, author: bytes(1), id: bytes(1) }, { type: 'map-delete', key: 'a/x' })
  t.same([[...map.entriesUnder('a/')].map(([key]) => key), map.sizeUnder('a/'), map.sizeUnder('a')], [['a/y'], 1, 1])
  map.apply({ lamport: 4, author: bytes(1), id: bytes(1) }, { type: 'map-delete', key: 'a/y' })
  t.same([[...map.entriesUnder('a/')], map.sizeUnder('a/')], [[], 0])
  const cost = growth((size) => {
    const map = createMap()
    for (let i = 0; i < size; i++) map.apply({ lamport: i + 1, author: bytes(1), id: bytes(1) }, set(`notes/${i}/title`, 'x') as MapOp)
    for (let i = 0; i < size; i++) assert.equal([...map.entriesUnder(`notes/${i}/`)].length, 1)
  }, 500)
  t.ok(cost < 45, `listing each namespace: ${cost}`)
  const slashes = createMap()
  for (let i = 0; i < 20; i++) slashes.apply({ lamport: i + 1, author: bytes(1), id: bytes(1) }, set(`${'/'.repeat(50_000)}${i}`, 'x') as MapOp)
  t.same([slashes.sizeUnder('/'.repeat(50_000)), slashes.sizeUnder(`${'/'.repeat(50_000)}1`)], [20, 11], 'a key of slashes costs no more than others')
})

t.test('VW-4 a run with its first character as an operation of its own keeps its place when that is deleted at the same time', async (t) => {
  const base = written(1, 1, 1, range(start, 'abcdef'))
  const permutations = <T>(list: readonly T[]): T[][] => list.length < 2 ? [[...list]] : list.flatMap((first, i) => permutations(list.toSpliced(i, 1)).map((rest) => [first, ...rest]))
  const before = opId(3, 1)
  for (const anchor of [start, end, offset(1), offset(99), after(3, 1), after(77, 7)]) {
    for (const [lamport, deletion, expected] of [[19, gone(before), 'abRdef'], [21, gone(before), 'abRdef'], [19, removal(start, 4), 'Ref'], [19, removal(after(2, 1), 1), 'abRdef'], [19, removal(offset(1), 3), 'aRef']] as const) {
      const run = written(2, 2, 20, one('X', before), range(anchor, 'XYZ\u{1f600}'))
      const others = [written(3, 3, lamport, deletion), written(4, 4, 20, one('p', before), range(after(3, 1), 'pq')), written(5, 5, 40, one('!', opId(23, 2)))]
      const nodes = [base, run, ...others]
      assert.equal(oracle(nodes, 't'), expected.replace('R', 'pqXYZ\u{1f600}!'))
      for (const order of permutations(nodes)) {
        assert.equal(fresh(order).text('t').toString(), oracle(nodes, 't'))
        const views = createViews({ confirmed: () => [] })
        for (const node of order) views[node === run ? 'local' : 'remote'](node)
        views.reject(run.id)
        assert.equal(views.document.text('t').toString(), oracle([base, ...others], 't'))
      }
    }
  }
  t.pass()
})

t.test('VW-8 what did not change costs nothing, and many refusals cost one rewind', async (t) => {
  const edits = (size: number, author: number, lamport: number) => Array.from({ length: size }, (_, i): AppliedNode =>
    ({ id: standInId(author << 24 | i), author: bytes(author), lamport: lamport + i, ops: [one('x', i === 0 ? null : opId(lamport + i - 1, author)), set(`k${i % 100}`, 'v')] }))
  const refusals = growth((size) => {
    const views = createViews({ confirmed: () => [] })
    const nodes = edits(size, 1, 1)
    for (const node of nodes) views.local(node)
    assert.equal(views.settle().texts.get('t')?.length, 1)
    for (const node of nodes) views.reject(node.id)
    assert.deepEqual(views.settle().texts.get('t'), [{ position: 0, deleted: size, inserted: '' }])
  }, 500)
  t.ok(refusals < 45, `refusals: ${refusals}`)
  const settling = growth((size) => {
    const views = createViews({ confirmed: () => [] })
    for (let i = 0; i < size; i++) {
      views.remote({ id: standInId(i), author: bytes(1), lamport: i + 1, ops: [one('x', null, `text ${i}`), range(end, 'y')] })
      const { texts, maps, lists } = views.settle()
      assert.deepEqual([texts.size, maps.size, lists.size], [2, 0, 0])
    }
  }, 300)
  t.ok(settling < 45, `settling among many texts: ${settling}`)
})
