import t from 'tap'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { ListOp } from '../../lib/protocol/op.js'
import { REBALANCE_LENGTH, between, following, isPosition, preceding } from '../../lib/state/fractional-index.js'
import { type List, createList } from '../../lib/state/list.js'
import { growth } from '../protocol/growth.js'
import { bytes } from './nodes.js'

const hex = (id: Uint8Array) => Buffer.from(id).toString('hex')
const itemId = (n: number) => { const id = bytes(0, 16); new DataView(id.buffer).setUint32(0, n); return id }
let lamport = 0
const by = () => ({ lamport: ++lamport, author: bytes(1), id: bytes(1) })
const insert = (item: Uint8Array, position: string): ListOp => ({ type: 'list-insert', key: 'l', item, position })
const move = (item: Uint8Array, position: string): ListOp => ({ type: 'list-move', key: 'l', item, position })
const order = (list: List) => list.items().map(({ id }) => hex(id))
const listOf = (positions: readonly string[]) => {
  const list = createList('l')
  positions.forEach((position, n) => list.apply(by(), insert(itemId(n), position)))
  return list
}

/** Puts new items, or one that moves, where they shall stand; returns how many others moved. */
function put (list: List, index: number, items: readonly Uint8Array[], moving?: Uint8Array): number {
  const { positions, moves } = list.positionsFor(index, items.length, moving)
  for (const { item, position } of moves) list.apply(by(), move(item, position))
  positions.forEach((position, i) => list.apply(by(), moving === undefined ? insert(items[i], position) : move(moving, position)))
  return moves.length
}

/** The fewest neighbours that must move, found by trying them all. */
function fewest (positions: readonly string[], index: number): number {
  for (let size = 0; size < positions.length; size++) {
    for (let from = Math.max(0, index - size); from <= index && from + size <= positions.length; from++) {
      try {
        between(from === 0 ? null : positions[from - 1], positions[from + size] ?? null)
        return size
      } catch {}
    }
  }
  return positions.length
}

t.test('VW-5 items come to stand where they shall, and as few others as possible move', async (t) => {
  const position = fc.constantFrom('0', 'A', 'A', 'A', 'A0', 'A00', 'A01', 'B', 'B~', 'Bz', 'C', '~', '', 'é')
  fc.assert(fc.property(fc.array(position, { maxLength: 12 }), fc.nat(12), fc.nat(4), fc.boolean(), (positions, at, count, moves) => {
    const list = listOf(positions)
    const before = order(list)
    const moving = moves && before.length > 0 ? list.items()[at % before.length].id : undefined
    const rest = before.filter((name) => moving === undefined || name !== hex(moving))
    const index = Math.min(at, rest.length)
    const least = fewest(list.items().filter(({ id }) => rest.includes(hex(id))).map(({ position }) => position), index)
    const items = moving === undefined ? Array.from({ length: count }, (_, n) => itemId(100 + n)) : [moving]
    const moved = put(list, at, items, moving)
    assert.deepEqual(order(list), rest.toSpliced(index, 0, ...items.map(hex)))
    assert.ok(moved <= least, `${moved} moved of ${least}`)
  }), { numRuns: 2000 })

  const list = listOf(['A', 'V', 'V', 'V', 'V', 'z'])
  t.same(list.positionsFor(2, 0), { positions: [], moves: [] })
  t.same(list.positionsFor(2, 1), { positions: ['P'], moves: [{ item: itemId(1), position: 'K' }] }, 'the shorter side moves')
  t.same(list.positionsFor(4, 2).moves.map(({ item }) => item), [itemId(4)])
  t.same(list.positionsFor(9, 1), { positions: ['z1V'], moves: [] })
  t.same(list.positionsFor(1, 1, itemId(0)).moves.map(({ item }) => item), [itemId(1)])
  for (const wrong of [-1, 0.5, NaN]) {
    t.throws(() => list.positionsFor(wrong, 1), RangeError)
    t.throws(() => list.positionsFor(1, wrong), RangeError)
  }
})

t.test('VW-6 positions stay short wherever items go, and few move for it', async (t) => {
  const places: Record<string, (length: number) => number> = { end: (length) => length, start: () => 0, middle: (length) => length >> 1, second: (length) => Math.min(1, length) }
  for (const [name, at] of Object.entries(places)) {
    const list = createList('l')
    const expected: string[] = []
    let moved = 0
    for (let n = 0; n < 1500; n++) {
      const index = at(expected.length)
      moved += put(list, index, [itemId(n)])
      expected.splice(index, 0, hex(itemId(n)))
    }
    t.same(order(list), expected, name)
    t.ok(list.items().every(({ position }) => isPosition(position) && position.length <= REBALANCE_LENGTH))
    t.ok(moved < (name === 'middle' ? 3000 : 10), `${name}: ${moved} moved`)
  }
  const long = listOf(['A', `A${'0'.repeat(100_000)}V`, 'B', 'C'])
  t.equal(put(long, 1, [itemId(9)]), 2, 'the item of a hostile position moves')
  t.same(order(long), [0, 9, 1, 2, 3].map((n) => hex(itemId(n))))
  t.ok(long.items().every(({ position }) => position.length <= REBALANCE_LENGTH))
  t.same(['V', 'V1V', 'VzV', 'zzV', 'zzzzzV', 'zzzz', 'zzz', 'y'].map(following), ['V1V', 'V2V', 'W0V', 'zzz00V', 'zzzzzz00V', 'zzzz1V', 'zzz01V', 'y1V'])
  t.same(['V', 'V1V', 'V0V', '00V', '000V', '0001', '001', '000001'].map(preceding), ['UzV', 'V0V', 'UzV', '000zzV', '000UzV', '0000zV', '000zzV', '000000zzV'])
  const many = listOf(['A'])
  put(many, 0, Array.from({ length: 5000 }, (_, n) => itemId(n + 1)))
  t.ok(many.length === 5001 && many.items().every(({ position }) => position.length <= 4))
  const odd = listOf(['~', '', 'A', `A${'0'.repeat(200)}V`, 'A~', 'A~'])
  put(odd, 2, [itemId(9)])
  t.same(order(odd), [1, 2, 9, 3, 4, 5, 0].map((n) => hex(itemId(n))), 'foreign neighbours move along')
  const tight = listOf(['A', `A${'z'.repeat(126)}`, 'B'])
  t.equal(tight.positionsFor(2, 1).moves.length, 0)
  t.ok(put(tight, 2, Array.from({ length: 100 }, (_, n) => itemId(n + 9))) > 0, 'one would fit, a hundred would not')
  t.ok(tight.items().every(({ position }) => position.length <= REBALANCE_LENGTH))
})

t.test('VW-7 an item tells where it stands', async (t) => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.constantFrom(insert, insert, move, (item: Uint8Array): ListOp => ({ type: 'list-delete', key: 'l', item })), fc.nat(90), fc.constantFrom('A', 'B', 'C'), fc.integer({ min: 0, max: 3 })), { size: 'max', maxLength: 200 }), (steps) => {
    const list = createList('l')
    for (const [make, n, position, read] of steps) {
      const held = list.items()
      const copy = [...held]
      list.apply(by(), make(itemId(n), position))
      if (read > 0) continue
      const names = order(list)
      for (let n = 0; n <= 90; n += 7) assert.equal(list.indexOf(itemId(n)), names.indexOf(hex(itemId(n))))
      assert.deepEqual(held, copy, 'what was read before stays')
      assert.deepEqual([...list.items()].sort((a, b) => a.position < b.position ? -1 : a.position > b.position ? 1 : Buffer.compare(a.id, b.id)), list.items())
    }
  }))
  const long = createList('l')
  for (let n = 0; n < 200; n++) long.apply(by(), insert(itemId(n), n % 2 === 0 ? 'A' : 'B'))
  t.same(order(long).slice(98, 102), [196, 198, 1, 3].map((n) => hex(itemId(n))), 'many at once')
  for (let n = 0; n < 200; n += 2) long.apply(by(), { type: 'list-delete', key: 'l', item: itemId(n) })
  t.same([long.length, long.indexOf(itemId(3)), long.indexOf(itemId(4))], [100, 1, -1])
  const cost = growth((size) => {
    const list = createList('l')
    for (let n = 0; n < size; n++) {
      const item = itemId(n)
      const index = n * 7919 % (n + 1)
      put(list, index, [item])
      assert.equal(list.indexOf(item), index)
    }
  }, 400)
  t.ok(cost < 45, `inserting and asking: ${cost}`)
})
