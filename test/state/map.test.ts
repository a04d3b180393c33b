import t from 'tap'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { utf8Encode } from '../../lib/protocol/postcard.js'
import type { MapOp } from '../../lib/protocol/op.js'
import type { Conflict } from '../../lib/state/conflict.js'
import { createMap } from '../../lib/state/map.js'
import { compareUtf8 } from '../../lib/state/order.js'
import { bytes, shuffled } from './nodes.js'

const by = (lamport: number, author: number, id = 1) => ({ lamport, author: bytes(author), id: bytes(id) })
const put = (key: string, value: string): MapOp => ({ type: 'map-set', key, value: utf8Encode(value) })
const textAt = (map: ReturnType<typeof createMap>, key: string) => { const value = map.get(key); return value && Buffer.from(value).toString() }

t.test('MP-1 the larger lamport wins, then the larger author, then the smaller node id, then the first operation', async (t) => {
  const map = createMap()
  t.equal(map.apply(by(5, 2, 7), put('k', 'first')), true)
  t.equal(map.apply(by(5, 2, 7), put('k', 'second of the same transaction')), false)
  t.equal(map.apply(by(4, 9), put('k', 'older')), false)
  t.equal(map.apply(by(5, 1), put('k', 'smaller author')), false)
  t.equal(map.apply(by(5, 2, 8), put('k', 'larger id')), false)
  t.equal(textAt(map, 'k'), 'first')
  t.equal(map.apply(by(5, 2, 6), put('k', 'smaller id')), true)
  t.equal(map.apply(by(5, 3, 9), put('k', 'larger author')), true)
  t.equal(map.apply(by(6, 1), put('k', 'later')), true)
  t.equal(textAt(map, 'k'), 'later')
  t.match(map.writer('k'), { lamport: 6, author: bytes(1) })
  t.equal(map.writer('other'), undefined)
})

t.test('MP-2 a deletion holds its key; a blob shows its hash; all named blobs are remembered', async (t) => {
  const map = createMap()
  map.apply(by(2, 1), put('k', 'v'))
  t.equal(map.size, 1)
  t.equal(map.apply(by(4, 1), { type: 'map-delete', key: 'k' }), true)
  t.equal(map.apply(by(3, 1), put('k', 'too old')), false)
  t.equal(map.apply(by(5, 1), { type: 'map-delete', key: 'k' }), false, 'nothing was shown before or after')
  t.same([map.get('k'), map.has('k'), map.size, [...map.entries()], [...map.keys()]], [undefined, false, 0, [], ['k']])
  map.apply(by(6, 1), { type: 'map-set-blob', key: 'k', hash: bytes(0xab) })
  t.same([map.get('k'), map.has('k'), map.isBlob('k'), map.size], [bytes(0xab), true, true, 1])
  map.apply(by(1, 1), { type: 'map-set-blob', key: 'k', hash: bytes(0xcd) })
  t.same([...map.blobs()], ['ab'.repeat(32), 'cd'.repeat(32)])
  map.apply(by(7, 1), put('k', 'plain'))
  t.equal(map.isBlob('k'), false)
})

t.test('MP-3 lamport 0 by the zero author never wins', async (t) => {
  const map = createMap()
  t.equal(map.apply(by(0, 0), { type: 'map-set-blob', key: 'k', hash: bytes(1) }), false)
  t.same([[...map.entries()], map.blobs().size], [[], 0])
  t.equal(map.apply(by(0, 1), put('k', 'zero lamport')), true)
  t.equal(map.apply(by(1, 0), put('k', 'zero author')), true)
})

t.test('MP-4 any order of the same nodes gives the same map', async (t) => {
  const op = fc.oneof(
    fc.record({ type: fc.constant('map-set' as const), key: fc.constantFrom('a', 'b'), value: fc.uint8Array({ maxLength: 2 }) }),
    fc.record({ type: fc.constant('map-delete' as const), key: fc.constantFrom('a', 'b') }))
  const node = fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 2 }), fc.array(op, { minLength: 1, maxLength: 3 }))
  fc.assert(fc.property(fc.array(node, { maxLength: 12 }).chain((nodes) => {
    const numbered = nodes.map(([lamport, author, ops], i) => ({ by: by(lamport, author, i), ops }))
    return fc.tuple(fc.constant(numbered), shuffled(numbered))
  }), ([one, other]) => {
    const maps = [one, other].map((nodes) => {
      const map = createMap()
      for (const { by, ops } of nodes) for (const op of ops) map.apply(by, op)
      return [map.sorted(), map.size]
    })
    assert.deepEqual(maps[0], maps[1])
  }))
})

t.test('MP-5 keys come in the order of their UTF-8 bytes', async (t) => {
  const map = createMap()
  const keys = ['\u{1f600}', '\uff5e', 'b', '', 'ab', 'a', '\ue000', '\u{1f601}']
  keys.forEach((key, i) => map.apply(by(i + 1, 1), put(key, 'v')))
  t.same(map.sorted().map(([key]) => key), [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))))
  fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 4 }), fc.string({ unit: 'grapheme', maxLength: 4 }), (a, b) => {
    assert.equal(Math.sign(compareUtf8(a, b)), Buffer.compare(Buffer.from(a), Buffer.from(b)))
  }))
})

t.test('MP-6 the map keeps copies', async (t) => {
  const map = createMap()
  const buffer = bytes(1)
  const writer = { lamport: 1, author: bytes(1), id: bytes(1) }
  map.apply(writer, { type: 'map-set', key: 'k', value: buffer })
  buffer.fill(9)
  writer.author.fill(9)
  writer.id.fill(9)
  t.same([map.get('k'), map.writer('k')], [bytes(1), by(1, 1)])
})

t.test('MP-7 a write that loses to another author is told with both operations', async (t) => {
  const told: Conflict[] = []
  const map = createMap((conflict) => told.push(conflict))
  map.apply(by(1, 1), put('k', 'A'))
  map.apply(by(2, 1), put('k', 'same author'))
  t.same(told, [])
  map.apply(by(3, 2), { type: 'map-delete', key: 'k' })
  map.apply(by(1, 3), { type: 'map-set-blob', key: 'k', hash: bytes(7) })
  map.apply(by(4, 1), { type: 'map-set-blob', key: 'k', hash: bytes(8) })
  t.same(told, [{
    kind: 'map_overwrite',
    key: 'k',
    winner_author: '02'.repeat(32),
    winner_lamport: 3,
    winner_op: { kind: 'delete' },
    loser_author: '01'.repeat(32),
    loser_lamport: 2,
    loser_op: { kind: 'set', value: [...utf8Encode('same author')] }
  }, {
    kind: 'map_overwrite',
    key: 'k',
    winner_author: '02'.repeat(32),
    winner_lamport: 3,
    winner_op: { kind: 'delete' },
    loser_author: '03'.repeat(32),
    loser_lamport: 1,
    loser_op: { kind: 'set_blob', blob_hash: [...bytes(7)] }
  }, {
    kind: 'map_overwrite',
    key: 'k',
    winner_author: '01'.repeat(32),
    winner_lamport: 4,
    winner_op: { kind: 'set_blob', blob_hash: [...bytes(8)] },
    loser_author: '02'.repeat(32),
    loser_lamport: 3,
    loser_op: { kind: 'delete' }
  }])
})
