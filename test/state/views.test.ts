import t from 'tap'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { TextOp } from '../../lib/protocol/op.js'
import type { Change } from '../../lib/state/change.js'
import { type AppliedNode, type Document, createDocument } from '../../lib/state/document.js'
import { createViews } from '../../lib/state/views.js'
import { anyNodes, anyOp } from './arbitrary.js'
import { shuffled } from './nodes.js'
import { NaiveText, type Written } from './oracle.js'

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
