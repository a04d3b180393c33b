import fc from 'fast-check'
import type { Anchor, ListOp, MapOp, Op, OpId, TextOp } from '../../lib/protocol/op.js'
import type { AppliedNode } from '../../lib/state/document.js'
import { bytes } from './nodes.js'
import { standInId } from './traces.js'

export const start: Anchor = { at: 'start' }
export const end: Anchor = { at: 'end' }
export const offset = (n: number): Anchor => ({ at: 'offset', offset: n })
export const opId = (lamport: number, author: number): OpId => ({ lamport, author: bytes(author) })
export const after = (lamport: number, author: number): Anchor => ({ at: 'after', id: opId(lamport, author) })
export const range = (anchor: Anchor, text: string, key = 't'): TextOp => ({ type: 'text-insert-range', key, anchor, text })
export const removal = (anchor: Anchor, count: number, key = 't'): TextOp => ({ type: 'text-delete-range', key, anchor, count })
export const one = (char: string, id: OpId | null, key = 't'): TextOp => ({ type: 'text-insert', key, after: id, char })
export const gone = (id: OpId, key = 't'): TextOp => ({ type: 'text-delete', key, target: id })

/** The operations of hostile and honest writers alike: ids that may not exist, lamports that repeat, characters outside the BMP. */
export const LAMPORTS = 12
export const AUTHORS = 3
const anyId = fc.tuple(fc.integer({ min: 0, max: LAMPORTS + 3 }), fc.integer({ min: 1, max: AUTHORS })).map(([lamport, author]) => opId(lamport, author))
const anyAnchor = fc.oneof({ weight: 1, arbitrary: fc.constantFrom(start, end) }, { weight: 1, arbitrary: fc.integer({ min: 0, max: 9 }).map(offset) },
  { weight: 4, arbitrary: anyId.map((id): Anchor => ({ at: 'after', id })) })
const char = fc.constantFrom('a', 'b', 'c', 'd', '\u{1f600}', 'é')
export const anyTextOp: fc.Arbitrary<TextOp> = fc.oneof(
  { weight: 2, arbitrary: fc.tuple(char, fc.option(anyId)).map(([c, id]) => one(c, id)) },
  { weight: 2, arbitrary: anyId.map((id) => gone(id)) },
  { weight: 4, arbitrary: fc.tuple(anyAnchor, fc.string({ unit: char, maxLength: 5 })).map(([anchor, text]) => range(anchor, text)) },
  { weight: 2, arbitrary: fc.tuple(anyAnchor, fc.integer({ min: 0, max: 5 })).map(([anchor, count]) => removal(anchor, count)) })

const anyMapOp: fc.Arbitrary<MapOp> = fc.constantFrom('', 'a', 'a/b', 'a/c', 'a/b/', 'b').chain((key) => fc.oneof(
  fc.uint8Array({ maxLength: 1, max: 1 }).map((value): MapOp => ({ type: 'map-set', key, value })),
  fc.integer({ min: 0, max: 1 }).map((byte): MapOp => ({ type: 'map-set-blob', key, hash: bytes(byte) })),
  fc.constant<MapOp>({ type: 'map-delete', key })))

const anyListOp: fc.Arbitrary<ListOp> = fc.tuple(fc.constantFrom('list-insert', 'list-insert', 'list-move', 'list-delete'), fc.integer({ min: 1, max: 4 }), fc.constantFrom('A', 'B', 'B0', '~'))
  .map(([type, item, position]) => (type === 'list-delete' ? { type, key: 'l', item: bytes(item, 16) } : { type, key: 'l', item: bytes(item, 16), position } as ListOp))

export const anyOp: fc.Arbitrary<Op> = fc.oneof(fc.tuple(anyTextOp, fc.constantFrom('t', 't', 'u')).map(([op, key]) => ({ ...op, key })), anyMapOp, anyListOp)

/** Nodes with distinct ids whose lamports and authors may be equal. */
export function anyNodes<T extends Op> (op: fc.Arbitrary<T>, length: number): fc.Arbitrary<(AppliedNode & { ops: T[] })[]> {
  return fc.array(fc.tuple(fc.integer({ min: 1, max: LAMPORTS }), fc.integer({ min: 1, max: AUTHORS }), fc.array(op, { minLength: 1, maxLength: 2 })), { minLength: 1, maxLength: length, size: 'max' })
    .map((list) => list.map(([lamport, author, ops], i) => ({ id: standInId(i * 7919 % 1009), author: bytes(author), lamport, ops })))
}
