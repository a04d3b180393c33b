import t from 'tap'
import fc from 'fast-check'
import { nobleBlake3 } from '../../lib/protocol/blake3.js'
import { loadBlake3 } from '../../lib/protocol/blake3-wasm.js'
import {
  type SignedNode, type Transaction, authorOf, bytesOf, clockAfter, eachOp, encodeNode, encodeTransaction, everyKey, extraOf, idOf,
  nodeId, parentOf, readNode, readOps, scanNode, signatureOf, transactionOf
} from '../../lib/protocol/node.js'
import { type Anchor, KIND, type Op, readOp, skipOp, writeOp } from '../../lib/protocol/op.js'
import { encodePack, scanPack } from '../../lib/protocol/pack.js'
import {
  cursor, readOption, readString, readVarint, readVarint32, skipChar, skipString, take, utf8Decode, utf8Encode, varintLength,
  writeString, writeVarint, writer
} from '../../lib/protocol/postcard.js'
import { toHex } from '../../lib/protocol/hex.js'
import { growth } from './growth.js'
import { controlPlane, hex, published, utf8 } from './vectors.js'

const { derived } = published
const blake3 = await loadBlake3()
const invalid = { code: 'reject.protocol_invalid_message', message: 'invalid pack: bad postcard' }
const fromB64 = (text: string) => new Uint8Array(Buffer.from(text, 'base64'))

function written (write: (w: ReturnType<typeof writer>) => void): Uint8Array {
  const w = writer(1)
  write(w)
  return take(w)
}

const encodeOp = (op: Op) => written((w) => writeOp(w, op))

/** An operation in the notation of the vectors. */
function opOf (name: string, input: Record<string, never>): Op {
  const id = (raw: { lamport: number, author_hex: string }) => ({ lamport: raw.lamport, author: hex(raw.author_hex) })
  const anchor = (raw: 'Start' | 'End' | { After: { lamport: number, author_hex: string } } | { Offset: number }): Anchor => {
    if (raw === 'Start' || raw === 'End') return { at: raw === 'Start' ? 'start' : 'end' }
    return 'After' in raw ? { at: 'after', id: id(raw.After) } : { at: 'offset', offset: raw.Offset }
  }
  const key: string = input.key ?? input.list_key
  if (name.startsWith('Map.SetBlob')) return { type: 'map-set-blob', key, hash: hex(input.blob_hash_hex) }
  if (name.startsWith('Map.Set')) return { type: 'map-set', key, value: utf8(input.value_utf8) }
  if (name.startsWith('Map.Delete')) return { type: 'map-delete', key }
  if (name.startsWith('List.Delete')) return { type: 'list-delete', key, item: hex(input.item_id_hex) }
  if (name.startsWith('List')) {
    return { type: name === 'List.Insert' ? 'list-insert' : 'list-move', key, item: hex(input.item_id_hex), position: input.position }
  }
  if (name.startsWith('Text.InsertRange')) return { type: 'text-insert-range', key, anchor: anchor(input.anchor), text: input.text }
  if (name.startsWith('Text.DeleteRange')) return { type: 'text-delete-range', key, anchor: anchor(input.anchor), count: input.len_chars }
  if (name.startsWith('Text.Delete')) return { type: 'text-delete', key, target: id(input.target) }
  return { type: 'text-insert', key, after: input.after === null ? null : id(input.after), char: input.ch }
}

const vectorOps: Op[] = derived.op_encodings.map((entry: { name: string, input: never }) => opOf(entry.name, entry.input))

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const text = fc.string({ unit: 'grapheme', maxLength: 40 })
const number = fc.oneof(fc.nat(300), fc.maxSafeNat())
const length = fc.oneof(fc.nat(300), fc.nat(0x7fffffff), fc.constant(0xffffffff))
const opId = fc.record({ lamport: number, author: bytes(32) })
const anchors: fc.Arbitrary<Anchor> = fc.oneof(
  fc.constant({ at: 'start' } as const), fc.constant({ at: 'end' } as const),
  fc.record({ at: fc.constant('after' as const), id: opId }), fc.record({ at: fc.constant('offset' as const), offset: length })
)
const ops: fc.Arbitrary<Op> = fc.oneof(
  fc.record({ type: fc.constant('map-set' as const), key: text, value: fc.uint8Array({ maxLength: 300 }) }),
  fc.record({ type: fc.constant('map-delete' as const), key: text }),
  fc.record({ type: fc.constant('map-set-blob' as const), key: text, hash: bytes(32) }),
  fc.record({ type: fc.constantFrom('list-insert' as const, 'list-move' as const), key: text, item: bytes(16), position: text }),
  fc.record({ type: fc.constant('list-delete' as const), key: text, item: bytes(16) }),
  fc.record({
    type: fc.constant('text-insert' as const),
    key: text,
    after: fc.option(opId),
    char: fc.constantFrom('a', 'é', '€', '😀', '\0', '\uffff', '\u{10ffff}')
  }),
  fc.record({ type: fc.constant('text-delete' as const), key: text, target: opId }),
  fc.record({ type: fc.constant('text-insert-range' as const), key: text, anchor: anchors, text }),
  fc.record({ type: fc.constant('text-delete-range' as const), key: text, anchor: anchors, count: length })
)
const transactions: fc.Arbitrary<Transaction> = fc.record({
  author: bytes(32), lamport: number, wallMs: number, ops: fc.array(ops, { maxLength: 6 }), parents: fc.array(bytes(32), { maxLength: 4 })
})

function signedNode (tx: Transaction, signature = new Uint8Array(64).fill(7)): Uint8Array {
  const encoded = encodeTransaction(tx)
  return encodeNode(nodeId(encoded, blake3), encoded, signature)
}

const small = (over: Partial<Transaction> = {}): Transaction =>
  ({ author: new Uint8Array(32).fill(1), lamport: 1, wallMs: 0, ops: [], parents: [], ...over })

/** Encodes like the library, but every varint with one byte of zero padding and every char with a second scalar behind it. */
function looseNode (tx: Transaction): Uint8Array {
  const parts: Uint8Array[] = []
  const v = (n: number) => {
    const canonical = written((w) => writeVarint(w, n))
    canonical[canonical.length - 1] |= 0x80
    parts.push(canonical, Uint8Array.of(0))
  }
  const raw = (value: Uint8Array) => parts.push(value)
  const str = (value: string) => { v(utf8(value).length); raw(utf8(value)) }
  const id = (value: { lamport: number, author: Uint8Array }) => { v(value.lamport); raw(value.author) }
  const tags: Record<Op['type'], [number, number]> = {
    'map-set': [0, 0],
    'map-delete': [0, 1],
    'map-set-blob': [0, 2],
    'list-insert': [1, 0],
    'list-delete': [1, 1],
    'list-move': [1, 2],
    'text-insert': [2, 0],
    'text-delete': [2, 1],
    'text-insert-range': [2, 2],
    'text-delete-range': [2, 3]
  }
  raw(tx.author); v(tx.lamport); v(tx.wallMs); v(tx.ops.length)
  for (const op of tx.ops) {
    v(tags[op.type][0]); v(tags[op.type][1]); str(op.key)
    if ('value' in op) { v(op.value.length); raw(op.value) }
    if ('hash' in op) raw(op.hash)
    if ('item' in op) raw(op.item)
    if ('position' in op) str(op.position)
    if ('after' in op) { raw(Uint8Array.of(op.after === null ? 0 : 1)); if (op.after !== null) id(op.after) }
    if ('char' in op) {
      const padded = utf8(op.char).length < 4 ? op.char + 'x' : op.char
      v(utf8(padded).length); raw(utf8(padded))
    }
    if ('target' in op) id(op.target)
    if ('anchor' in op) {
      v(['start', 'end', 'after', 'offset'].indexOf(op.anchor.at))
      if (op.anchor.at === 'after') id(op.anchor.id)
      if (op.anchor.at === 'offset') v(op.anchor.offset)
    }
    if ('text' in op) str(op.text)
    if ('count' in op) v(op.count)
  }
  v(tx.parents.length)
  for (const parent of tx.parents) raw(parent)
  return encodeNode(nodeId(encodeTransaction(tx), blake3), Buffer.concat(parts), new Uint8Array(64).fill(9))
}

t.test('PC-1 varints are written in the shortest form and read back', async (t) => {
  for (const { value, hex: encoded } of derived.postcard_primitives.unsigned_varint) {
    const c = cursor(hex(encoded))
    t.equal(readVarint(c), Number(value), value)
    t.equal(c.pos, encoded.length / 2, `${value} is read completely`)
    t.notOk(c.loose)
    if (!Number.isSafeInteger(Number(value))) continue
    t.equal(toHex(written((w) => writeVarint(w, Number(value)))), encoded)
    t.equal(varintLength(Number(value)), encoded.length / 2)
  }
  fc.assert(fc.property(number, (n) => readVarint(cursor(written((w) => writeVarint(w, n)))) === n))
  t.equal(readVarint32(cursor(hex('ffffffff0f'))), 0xffffffff)
  for (const n of [-1, 0.5, 2 ** 53, NaN]) t.throws(() => written((w) => writeVarint(w, n)), RangeError, String(n))
})

t.test('PC-2 strings and chars are a length and UTF-8, without a byte order mark being dropped', async (t) => {
  for (const { value, hex: encoded } of derived.postcard_primitives.string) {
    t.equal(toHex(written((w) => writeString(w, value))), encoded)
    t.equal(readString(cursor(hex(encoded))), value)
  }
  for (const { value, hex: encoded } of derived.postcard_primitives.char) {
    const c = cursor(hex(encoded))
    t.equal(skipChar(c), 1)
    t.equal(c.pos, encoded.length / 2)
    t.equal(utf8Decode(c.bytes, 1, c.pos), value)
    t.notOk(c.loose)
  }
  const marked = '\ufeffa'.padEnd(40, 'é')
  t.equal(readString(cursor(written((w) => writeString(w, marked)))), marked)
  t.same(utf8Encode('é'), hex('c3a9'))
})

t.test('PC-3 a varint of more than 64 or 32 bits is refused', async (t) => {
  t.throws(() => readVarint(cursor(hex('ffffffffffffffffff02'))), invalid)
  t.throws(() => readVarint(cursor(hex('80808080808080808080' + '01'))), invalid)
  t.throws(() => readVarint32(cursor(hex('ffffffff10'))), invalid)
  t.throws(() => readVarint32(cursor(hex('808080808000'))), invalid)
  for (const read of [readVarint, readVarint32]) {
    t.throws(() => read(cursor(hex(''))), invalid)
    t.throws(() => read(cursor(hex('80'))), invalid)
  }
})

t.test('PC-4 what is not UTF-8, not an option, not a char or not a known variant is refused', async (t) => {
  const broken = ['80', 'c0', 'c3', 'c328', 'c1bf', 'e08080', 'eda080', 'e282', 'e228a1', 'f08f8080', 'f4908080', 'f5808080', 'f09f98', 'f0288080', 'e2822e']
  for (const text of broken) {
    const encoded = written((w) => { writeVarint(w, text.length / 2); w.bytes = Buffer.concat([w.bytes.subarray(0, w.pos), hex(text)]); w.pos += text.length / 2 })
    t.throws(() => skipString(cursor(encoded)), invalid, text)
    t.throws(() => readString(cursor(encoded)), invalid, text)
    t.throws(() => skipOp(cursor(Buffer.concat([hex('0001'), encoded])), { key: 0, keyEnd: 0, extra: 0, kind: 0, hash: 0 }), invalid, `key ${text}`)
  }
  t.equal(readString(cursor(hex('0161'))), 'a', 'a refusal leaves nothing behind in the decoder')
  t.throws(() => readOption(cursor(hex('02'))), invalid)
  for (const char of ['00', '0561626364' + '65', '01ff', '02c3']) t.throws(() => skipChar(cursor(hex(char))), invalid, char)
  const shape = { key: 0, keyEnd: 0, extra: 0, kind: 0, hash: 0 }
  for (const op of ['030000', '000300', '010300' + '00'.repeat(17), '020400', '02020004', '02030005']) {
    t.throws(() => skipOp(cursor(hex(op)), shape), invalid, op)
    t.throws(() => readOp(cursor(hex(op))), invalid, op)
  }
})

t.test('PC-5 operations are encoded as the vectors have them', async (t) => {
  derived.op_encodings.forEach((entry: { name: string, postcard_hex: string }, i: number) => {
    t.equal(toHex(encodeOp(vectorOps[i])), entry.postcard_hex, entry.name)
    t.same(readOp(cursor(hex(entry.postcard_hex))), vectorOps[i], entry.name)
    const c = cursor(hex(entry.postcard_hex))
    skipOp(c, { key: 0, keyEnd: 0, extra: 0, kind: 0, hash: 0 })
    t.equal(c.pos, c.end, `${entry.name} is skipped completely`)
  })
})

interface VectorNode { author_hex: string, lamport: string, wall_ms: string, parents_hex: string[], transaction_postcard_hex: string, id_hex: string, signature_hex: string }

t.test('PC-6 a node is its id, its transaction and its signature; the id is the BLAKE3 of the transaction', async (t) => {
  const five: VectorNode[] = derived.nodes_pack_five.nodes
  const pack = scanPack(fromB64(derived.nodes_pack_five.pack_of_five_base64))
  t.equal(pack.length, 5)
  pack.forEach((node, i) => {
    t.equal(toHex(transactionOf(node)), five[i].transaction_postcard_hex)
    t.equal(toHex(nodeId(transactionOf(node), blake3)), five[i].id_hex)
    t.equal(toHex(idOf(node)), five[i].id_hex)
    t.equal(toHex(authorOf(node)), five[i].author_hex)
    t.equal(toHex(signatureOf(node)), five[i].signature_hex)
    t.equal(node.lamport, Number(five[i].lamport))
    t.equal(node.wallMs, Number(five[i].wall_ms))
    t.same(readNode(node).parents.map(toHex), five[i].parents_hex)
  })
  t.equal(Buffer.from(encodePack(pack.map(bytesOf))).toString('base64'), derived.nodes_pack_five.pack_of_five_base64)
  t.equal(toHex(blake3.hash(encodePack(pack.map(bytesOf)))), derived.nodes_pack_five.pack_of_five_blake3_hex)
  t.equal(toHex(encodePack([bytesOf(pack[0])])), derived.nodes_pack_five.pack_of_first_only_hex)
  t.equal(toHex(encodePack([])), derived.nodes_pack_five.empty_pack_hex)
  t.same(scanPack(fromB64(derived.nodes_pack_five.empty_pack_base64)), [])

  const all: VectorNode = derived.node_all_ops
  const tx = { author: hex(all.author_hex), lamport: 300, wallMs: 0, ops: vectorOps, parents: all.parents_hex.map(hex) }
  t.equal(toHex(encodeTransaction(tx)), all.transaction_postcard_hex)
  t.equal(toHex(nodeId(encodeTransaction(tx), blake3)), all.id_hex)
  const scanned = scanNode(cursor(encodeNode(hex(all.id_hex), encodeTransaction(tx), hex(all.signature_hex))))
  t.same(readOps(scanned), vectorOps)

  const [unsigned] = scanPack(fromB64(derived.unsigned_node.pack_base64))
  t.equal(toHex(transactionOf(unsigned)), derived.unsigned_node.transaction_postcard_hex)
  t.equal(toHex(idOf(unsigned)), derived.unsigned_node.id_hex)
  t.equal(toHex(nodeId(transactionOf(unsigned), blake3)), derived.unsigned_node.id_hex)
})

t.test('PC-6 the chains and rooms of the vectors read back, parents first', async (t) => {
  const chain = scanPack(fromB64(derived.linear_chain.pack_base64))
  t.same(chain.map((node) => toHex(idOf(node))), derived.linear_chain.ids_hex)
  chain.forEach((node, i) => {
    t.same(readOps(node), [{ type: 'map-set', key: `world/path/${i}`, value: utf8(`v${i}`) }])
    t.equal(toHex(nodeId(transactionOf(node), blake3)), derived.linear_chain.ids_hex[i])
    if (i > 0) t.same(parentOf(node, 0), idOf(chain[i - 1]))
  })
  const rooms: { nodes: { id: string, lamport: number, signature: string, tx_postcard_hex: string }[], pack_b64_in_order: string }[] =
    Object.values(controlPlane.nodes.vectors)
  t.ok(rooms.length > 0)
  for (const room of rooms) {
    const nodes = scanPack(fromB64(room.pack_b64_in_order))
    t.same(nodes.map((node) => ({ id: toHex(idOf(node)), lamport: node.lamport, signature: toHex(signatureOf(node)), tx_postcard_hex: toHex(transactionOf(node)) })), room.nodes)
    for (const node of nodes) t.equal(toHex(nodeId(transactionOf(node), blake3)), toHex(idOf(node)))
  }
})

t.test('PC-7 whatever can be written is read back unchanged', async (t) => {
  fc.assert(fc.property(fc.array(transactions, { maxLength: 4 }), (txs) => {
    const encoded = txs.map((tx) => signedNode(tx))
    const scanned = scanPack(encodePack(encoded))
    return scanned.length === txs.length && scanned.every((node, i) => {
      const back: SignedNode = readNode(node)
      const again = encodeTransaction(back)
      return Buffer.compare(bytesOf(node), encoded[i]) === 0 && Buffer.compare(again, transactionOf(node)) === 0 &&
        node.extra === extraOf(txs[i].ops)
    })
  }))
})

t.test('PC-8 a pack cut at any byte is refused', async (t) => {
  const whole = encodePack([signedNode(small({ ops: vectorOps, parents: [new Uint8Array(32)] })), signedNode(small())])
  for (let end = 0; end < whole.length; end++) {
    try {
      scanPack(whole.subarray(0, end))
      t.fail(`cut at ${end} was read`)
    } catch (error) {
      if (!t.match(error, invalid)) break
    }
  }
  t.equal(scanPack(whole).length, 2)
  t.throws(() => scanPack(new Uint8Array(0)), invalid, 'no count')
})

t.test('PC-9 over-long spellings are read, and what is hashed and kept is the canonical copy', async (t) => {
  const check = (tx: Transaction) => {
    const pack = Buffer.concat([Uint8Array.of(0x83, 0), signedNode(small()), looseNode(tx), signedNode(tx)])
    const [before, loose, after] = scanPack(new Uint8Array(pack))
    return Buffer.compare(transactionOf(loose), encodeTransaction(tx)) === 0 &&
      Buffer.compare(nodeId(transactionOf(loose), blake3), idOf(loose)) === 0 &&
      Buffer.compare(idOf(loose), idOf(after)) === 0 && toHex(signatureOf(loose)) === '09'.repeat(64) &&
      Buffer.compare(bytesOf(before), signedNode(small())) === 0 && loose.extra === after.extra && loose.parentCount === after.parentCount
  }
  t.ok(check(small({ ops: vectorOps, parents: [new Uint8Array(32).fill(4)] })))
  fc.assert(fc.property(transactions, check))
  const received = new Uint8Array(Buffer.concat([Uint8Array.of(2), looseNode(small()), signedNode(small())]))
  const [loose, honest] = scanPack(received)
  t.not(loose.bytes, received)
  t.equal(honest.bytes, received, 'an honest node lies where it was received')
})

t.test('PC-9 the longest zero padding is read, and a char keeps its first scalar', async (t) => {
  const c = cursor(hex('8080808080808080' + '8000'))
  t.equal(readVarint(c), 0)
  t.ok(c.loose)
  const char = cursor(hex('0361' + '6263'))
  t.equal(skipChar(char), 1)
  t.ok(char.loose)
  t.same(readOp(cursor(hex('0200' + '0164' + '00' + '8200' + 'c3a9'))), { type: 'text-insert', key: 'd', after: null, char: 'é' })
})

t.test('PC-10 counts and lengths are compared with what is left before anything is allocated', async (t) => {
  const huge = 'ffffffffffffffffff01'
  const head = '00'.repeat(64) + '01' + '00'
  const bounded = { ...invalid, cause: 'count exceeds input' }
  t.throws(() => scanPack(hex(huge + '00'.repeat(200))), bounded, 'nodes')
  t.throws(() => scanPack(hex('02' + '00'.repeat(200))), bounded, 'one node too many')
  t.throws(() => scanNode(cursor(hex(head + huge + '00'.repeat(200)))), bounded, 'operations')
  t.throws(() => scanNode(cursor(hex(head + '00' + huge + '00'.repeat(200)))), bounded, 'parents')
  t.throws(() => scanNode(cursor(hex(head + '01' + '0000' + huge + '00'.repeat(200)))), invalid, 'key')
  t.throws(() => scanNode(cursor(hex(head + '01' + '000000' + huge + '00'.repeat(200)))), invalid, 'value')
  t.throws(() => scanNode(cursor(hex(head + '01' + '02020000' + huge + '00'.repeat(200)))), invalid, 'text')
})

t.test('PC-11 bytes after the last node are ignored and never kept', async (t) => {
  const pack = encodePack([signedNode(small())])
  const [node] = scanPack(new Uint8Array(Buffer.concat([pack, new Uint8Array(1000).fill(0xff)])))
  t.same(bytesOf(node), pack.subarray(1))
})

t.test('PC-12 reading time grows with the input only, however it is spelled', async (t) => {
  const deletes = (n: number) => small({ ops: Array.from({ length: n }, () => ({ type: 'map-delete', key: 'k' }) as const) })
  const shapes: Record<string, (n: number) => Uint8Array> = {
    'many nodes': (n) => encodePack(Array.from({ length: n }, () => signedNode(small()))),
    'many operations': (n) => encodePack([signedNode(deletes(n))]),
    'many over-long spellings': (n) => encodePack([looseNode(deletes(n))]),
    'a long text': (n) => encodePack([signedNode(small({ ops: [{ type: 'text-insert-range', key: 'k', anchor: { at: 'end' }, text: 'é'.repeat(10 * n) }] }))])
  }
  for (const [name, make] of Object.entries(shapes)) {
    const packs = new Map([4000, 32000].map((n) => [n, make(n)]))
    const factor = growth((n) => { scanPack(packs.get(n) ?? new Uint8Array(0)) }, 4000)
    t.ok(factor < 40, `${name}: eight times the input, ${factor.toFixed(1)} times the time`)
  }
})

t.test('PC-13 a scan tells what the server needs to know of the operations', async (t) => {
  const view = (...list: Op[]) => scanNode(cursor(signedNode(small({ ops: list }))))
  const set: Op = { type: 'map-set', key: 'k', value: new Uint8Array(3) }
  t.match(view(set), { extra: 0, blobs: false, sentinel: false, opCount: 1, parentCount: 0 })
  t.match(view(set, { type: 'map-set-blob', key: 'b', hash: new Uint8Array(32) }), { blobs: true })
  t.match(view(set, { type: 'map-delete', key: '\0e2ee' }), { sentinel: true })
  t.match(view({ type: 'map-delete', key: '' }), { sentinel: false })
  const range = (text: string): Op => ({ type: 'text-insert-range', key: 't', anchor: { at: 'start' }, text })
  t.match(view(range('a😀b'), range(''), range('xyz')), { extra: 4 })
  t.equal(extraOf([range('a😀b'), range(''), range('xyz'), set]), 4)

  const node = view(set, { type: 'map-set-blob', key: 'blöb', hash: new Uint8Array(32).fill(5) }, range('x'))
  const seen: string[] = []
  t.ok(everyKey(node, (bytes, start, end) => { seen.push(utf8Decode(bytes, start, end)); return true }))
  t.same(seen, ['k', 'blöb', 't'])
  let visits = 0
  t.notOk(everyKey(node, () => ++visits < 2))
  t.equal(visits, 2, 'stops at the first refusal')
  const kinds: number[] = []
  eachOp(node, (shape) => {
    kinds.push(shape.kind)
    if (shape.kind === KIND.mapSetBlob) t.same(node.bytes.subarray(shape.hash, shape.hash + 32), new Uint8Array(32).fill(5))
    else t.equal(shape.hash, -1)
  })
  t.same(kinds, [KIND.mapSet, KIND.mapSetBlob, KIND.textInsertRange])
})

t.test('PC-13 a key longer than 127 bytes is found where it starts', async (t) => {
  const key = 'k'.repeat(300)
  const node = scanNode(cursor(signedNode(small({ ops: [{ type: 'map-delete', key }] }))))
  t.ok(everyKey(node, (bytes, start, end) => utf8Decode(bytes, start, end) === key))
})

t.test('PC-14 writers refuse what the format cannot carry', async (t) => {
  const id = { lamport: 1, author: new Uint8Array(31) }
  const refused: Op[] = [
    { type: 'map-set-blob', key: 'k', hash: new Uint8Array(31) },
    { type: 'list-insert', key: 'k', item: new Uint8Array(15), position: 'V' },
    { type: 'list-delete', key: 'k', item: new Uint8Array(17) },
    { type: 'text-insert', key: 'k', after: id, char: 'a' },
    { type: 'text-insert', key: 'k', after: null, char: 'ab' },
    { type: 'text-insert', key: 'k', after: null, char: '' },
    { type: 'text-insert', key: 'k', after: null, char: '\ud800' },
    { type: 'text-insert-range', key: 'k', anchor: { at: 'offset', offset: 2 ** 32 }, text: '' },
    { type: 'text-delete-range', key: 'k', anchor: { at: 'end' }, count: 2 ** 32 },
    { type: 'map-delete', key: '\udc00' },
    { type: 'map-delete', key: 'x'.repeat(30) + '\udc00' }
  ]
  for (const op of refused) t.throws(() => encodeOp(op), RangeError, JSON.stringify(op))
  t.throws(() => encodeTransaction(small({ author: new Uint8Array(33) })), RangeError)
  t.throws(() => encodeTransaction(small({ parents: [new Uint8Array(2)] })), RangeError)
  t.throws(() => encodeTransaction(small({ lamport: -1 })), RangeError)
  t.throws(() => encodeNode(new Uint8Array(3), new Uint8Array(100), new Uint8Array(64)), RangeError)
  t.throws(() => encodeNode(new Uint8Array(32), new Uint8Array(100), new Uint8Array(63)), RangeError)
})

t.test('PC-15 the clock follows what is taken in, with the values a range insert reserves', async (t) => {
  t.equal(clockAfter(5, 3, 0), 5)
  t.equal(clockAfter(5, 9, 0), 9)
  t.equal(clockAfter(5, 4, 7), 11)
})

t.test('PC-18 BLAKE3 gives the published hashes, in WebAssembly and in plain JavaScript', async (t) => {
  for (const vector of published.reference.blake3) {
    const input = vector.input_utf8 === undefined ? fromB64(vector.input_base64) : utf8(vector.input_utf8)
    t.equal(toHex(blake3.hash(input)), vector.hash_hex)
    t.equal(toHex(nobleBlake3.hash(input)), vector.hash_hex)
  }
  const key = utf8('nodalmerge-ibf-h0-00000000000000')
  const prepared = await loadBlake3([key])
  const keyed = prepared.keyed(Uint8Array.from(key))
  const other = prepared.keyed(new Uint8Array(32))
  fc.assert(fc.property(fc.uint8Array({ maxLength: 3000 }), (data) => {
    const first = prepared.hash(data)
    return toHex(first) === toHex(nobleBlake3.hash(data)) && toHex(keyed(data)) === toHex(nobleBlake3.keyed(key)(data)) &&
      toHex(other(data)) === toHex(nobleBlake3.keyed(new Uint8Array(32))(data)) && toHex(first) === toHex(blake3.hash(data))
  }), { numRuns: 50 })
})

t.test('PC-18 where WebAssembly may not be compiled the plain implementation is taken', async (t) => {
  const { WebAssembly } = globalThis as unknown as { WebAssembly: Record<'instantiate' | 'compile', unknown> }
  t.intercept(WebAssembly, 'instantiate', { value: () => { throw new Error('unsafe-eval') } })
  t.intercept(WebAssembly, 'compile', { value: () => { throw new Error('unsafe-eval') } })
  t.equal(await loadBlake3(), nobleBlake3)
})
