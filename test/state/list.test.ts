import t from 'tap'
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { ListOp } from '../../lib/protocol/op.js'
import type { Conflict } from '../../lib/state/conflict.js'
import { REBALANCE_LENGTH, between, isPosition, spread } from '../../lib/state/fractional-index.js'
import { createList } from '../../lib/state/list.js'
import { published } from '../protocol/vectors.js'
import { bytes, shuffled } from './nodes.js'

const by = (lamport: number, author = 1, id = lamport) => ({ lamport, author: bytes(author), id: bytes(id) })
const item = (n: number) => bytes(n, 16)
const insert = (n: number, position: string): ListOp => ({ type: 'list-insert', key: 'l', item: item(n), position })
const move = (n: number, position: string): ListOp => ({ type: 'list-move', key: 'l', item: item(n), position })
const remove = (n: number): ListOp => ({ type: 'list-delete', key: 'l', item: item(n) })
const shown = (list: ReturnType<typeof createList>) => list.items().map(({ id }) => id[0])

t.test('LI-1 positions and chains are those of the vectors', async (t) => {
  const { derived, reference } = { derived: published.derived.fractional_index, reference: published.reference.fractional_index }
  t.equal(between(null, null), reference.between_none_none)
  t.equal(REBALANCE_LENGTH, reference.rebalance_threshold_bytes)
  t.same([...reference.ordering_ascending].sort(), reference.ordering_ascending)
  for (const { left, right } of reference.errors) t.throws(() => between(left, right), RangeError)
  for (const { left, right, result } of derived.between) t.equal(between(left, right), result)
  const chain = (next: (last: string) => string, length: number) => Array.from({ length: length - 1 }).reduce<string[]>((all) => [...all, next(all[all.length - 1])], [derived.first])
  t.same(chain((last) => between(last, null), derived.after_chain.length), derived.after_chain)
  t.same(chain((last) => between(null, last), derived.before_chain.length), derived.before_chain)
  t.equal(between(derived.bounded_below_by_max.left, null), derived.bounded_below_by_max.result)
  let ends = 0
  for (let last = between('V', null); last.length < REBALANCE_LENGTH; ends++) last = between(last, null)
  let fronts = 0
  for (let last = between(null, 'V'); last.length < REBALANCE_LENGTH; fronts++) last = between(null, last)
  t.same([ends, fronts], [derived.end_inserts_until_length_128, derived.front_inserts_until_length_128])
})

t.test('LI-2 a new position lies strictly between its neighbours', async (t) => {
  for (const [left, right] of [['B', 'A'], ['A', 'A'], ['AB', 'A'], ['A', 'A00'], [null, '000'], ['', 'A'], ['A', ''], ['A', '~'], ['é', null]]) t.throws(() => between(left, right), RangeError)
  t.same(['', 'aZ9', 'a b', 'ä'].map(isPosition), [false, true, false, false])
  fc.assert(fc.property(fc.infiniteStream(fc.nat()), (stream) => {
    const positions: string[] = []
    for (let i = 0; i < 60; i++) {
      const at = stream.next().value % (positions.length + 1)
      const made = between(positions[at - 1] ?? null, positions[at] ?? null)
      assert.ok((at === 0 || positions[at - 1] < made) && (at === positions.length || made < positions[at]))
      positions.splice(at, 0, made)
    }
  }), { numRuns: 20 })
})

t.test('LI-3 many positions at once are ascending and short', async (t) => {
  t.same(spread(null, null, 0), [])
  const many = spread('A', 'B', 1000)
  t.same([...new Set(many)].sort(), many)
  t.ok(many.every((position) => position > 'A' && position < 'B' && position.length <= 4))
  t.equal(spread(null, null, 3)[1], 'V')
})

t.test('LI-4 items are ordered by position, then by id', async (t) => {
  const same = createList('l')
  same.apply(by(1), insert(9, 'V'))
  same.apply(by(1, 2), insert(3, 'V'))
  t.same(shown(same), [3, 9], published.reference.list_scenarios[0].expect)

  const moved = createList('l')
  moved.apply(by(1), insert(1, 'V'))
  moved.apply(by(2), insert(2, between('V', null)))
  moved.apply(by(3), insert(3, between(between('V', null), null)))
  t.same(shown(moved), [1, 2, 3])
  t.equal(moved.apply(by(4), move(3, between(null, 'V'))), true)
  t.same(shown(moved), [3, 1, 2], published.reference.list_scenarios[1].expect_order.join())
  t.equal(moved.length, 3)
  t.same(moved.items()[0], { ...moved.items()[0], id: item(3), position: 'F' })
})

t.test('LI-5 a deletion is for ever, a move alone shows nothing, the strongest position wins', async (t) => {
  const list = createList('l')
  t.equal(list.apply(by(0, 0), insert(1, 'A')), false, 'the zero author at lamport 0')
  t.equal(list.apply(by(5), move(1, 'C')), false)
  t.same(shown(list), [])
  t.equal(list.apply(by(1), insert(1, 'A')), true)
  t.equal(list.items()[0].position, 'C')
  t.equal(list.apply(by(5), move(1, 'D')), false, 'the first operation of a transaction wins')
  t.equal(list.apply(by(5, 1, 4), move(1, 'E')), true, 'the smaller node id wins')
  t.equal(list.apply(by(3), move(1, 'E')), false)
  t.equal(list.has(item(1)), true)
  t.equal(list.apply(by(2), remove(1)), true)
  t.equal(list.apply(by(9), remove(1)), false)
  t.equal(list.apply(by(10), move(1, 'F')), false)
  t.equal(list.apply(by(11), insert(1, 'F')), false)
  t.same([shown(list), list.has(item(1)), list.has(item(2))], [published.reference.list_scenarios[2].expect_order, false, false])
})

t.test('LI-6 any order of the same nodes gives the same list', async (t) => {
  const op = fc.tuple(fc.constantFrom(insert, move, remove), fc.integer({ min: 1, max: 3 }), fc.constantFrom('A', 'B', '\u{1f600}', '\uff5e')).map(([make, n, position]) => make(n, position))
  const node = fc.tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 2 }), fc.array(op, { minLength: 1, maxLength: 3 }))
  fc.assert(fc.property(fc.array(node, { maxLength: 12 }).chain((nodes) => {
    const numbered = nodes.map(([lamport, author, ops], i) => ({ by: by(lamport, author, i), ops }))
    return fc.tuple(fc.constant(numbered), shuffled(numbered))
  }), ([one, other]) => {
    const results = [one, other].map((nodes, k) => {
      const list = createList('l')
      for (const { by, ops } of nodes) for (const op of ops) if (list.apply(by, op) && k === 1) list.items()
      return list.items().map(({ id, position }) => [id, position])
    })
    assert.deepEqual(results[0], results[1])
  }))
})

t.test('LI-7 a position for an index puts the item there', async (t) => {
  const list = createList('l')
  for (let n = 1; n <= 4; n++) list.apply(by(n), insert(n, list.positionFor(n - 1)))
  t.same(shown(list), [1, 2, 3, 4])
  list.apply(by(5), move(4, list.positionFor(1, item(4))))
  t.same(shown(list), [1, 4, 2, 3])
  list.apply(by(6), move(1, list.positionFor(3, item(1))))
  t.same(shown(list), [4, 2, 3, 1])
  list.apply(by(7), insert(5, list.positionFor(99)))
  t.same(shown(list), [4, 2, 3, 1, 5])
  for (const index of [-1, 0.5, NaN]) t.throws(() => list.positionFor(index), RangeError)

  const odd = createList('l')
  odd.apply(by(1), insert(1, '000'))
  odd.apply(by(2), insert(2, 'B'))
  odd.apply(by(3), insert(3, 'B'))
  odd.apply(by(4), insert(4, 'B00'))
  odd.apply(by(5), insert(5, '~'))
  odd.apply(by(6), insert(6, odd.positionFor(0)))
  t.same(shown(odd), [1, 6, 2, 3, 4, 5], 'nothing fits before zeros')
  odd.apply(by(7), insert(7, odd.positionFor(3)))
  t.same(shown(odd), [1, 6, 2, 3, 4, 7, 5], 'nothing fits between equal positions, nor before B00 behind B')
  t.ok(isPosition(odd.positionFor(7)), 'a foreign position is passed over')
})

t.test('LI-8 moves and deletions lost to another author are told', async (t) => {
  const told: Conflict[] = []
  const list = createList('l', (conflict) => told.push(conflict))
  list.apply(by(1, 1), insert(1, 'A'))
  list.apply(by(2, 1), move(1, 'B'))
  t.same(told, [])
  list.apply(by(4, 2), move(1, 'C'))
  list.apply(by(3, 1), move(1, 'D'))
  list.apply(by(5, 1), remove(1))
  list.apply(by(4, 3), remove(1))
  list.apply(by(9, 2), insert(1, 'E'))
  const seen = told.map(({ kind, key, winner_op: winner, winner_lamport: w, loser_op: loser, loser_lamport: l }) => [kind, key.slice(0, 4), winner.kind, w, loser.kind, l])
  t.same(seen, [
    ['list_move_lost', 'l#01', 'list_move', 4, 'list_move', 2],
    ['list_move_lost', 'l#01', 'list_move', 4, 'list_move', 3],
    ['list_delete_won', 'l#01', 'list_delete', 5, 'list_move', 4],
    ['list_delete_won', 'l#01', 'list_delete', 4, 'list_move', 4],
    ['list_delete_won', 'l#01', 'list_delete', 5, 'list_insert', 9]
  ])
  t.same(told[0].winner_op, { kind: 'list_move', item_id: [...item(1)] })
})
