import t from 'tap'
import { createRoomCipher } from '../../lib/client/encryption.js'
import { type Op, readOp, writeOp } from '../../lib/protocol/op.js'
import { cursor, take, writer } from '../../lib/protocol/postcard.js'
import { hex, published, seedOf, utf8 } from '../protocol/vectors.js'

const { e2ee } = published.derived
const cipher = createRoomCipher(hex(e2ee.room_seed_hex))

function opsOf (encoded: Uint8Array): Op[] {
  const c = cursor(encoded, 1)
  return Array.from({ length: encoded[0] }, () => readOp(c))
}

const plain = opsOf(hex(e2ee.ops_plaintext_postcard_hex))
const sealed = (ops: readonly Op[], author = seedOf(1), lamport = 1): Uint8Array => {
  const [op] = cipher.seal(ops, author, lamport)
  return op.type === 'map-set' ? op.value : new Uint8Array()
}
const open = (value: Uint8Array): Op[] | null => cipher.open([{ type: 'map-set', key: '\u0000e2ee', value }], seedOf(1), 1)

t.test('KY-40 encrypted nodes are those of the vectors, in both directions', async (t) => {
  for (const { author_hex: author, lamport, payload_hex: payload } of e2ee.payloads) {
    t.same(cipher.seal(plain, hex(author), Number(lamport)), [{ type: 'map-set', key: '\u0000e2ee', value: hex(payload) }])
    t.same(open(hex(payload)), plain)
  }
  const w = writer()
  writeOp(w, cipher.seal(plain, seedOf(1), 5)[0])
  t.same(take(w), hex(e2ee.wrapped_op_postcard_hex))
})

t.test('KY-41 every operation survives, and neither keys nor values can be read', async (t) => {
  const id = { lamport: 2 ** 53 - 1, author: seedOf(3) }
  const ops: Op[] = [
    { type: 'map-set', key: 'secret', value: utf8('value') },
    { type: 'map-delete', key: 'secret' },
    { type: 'map-set-blob', key: 'secret', hash: seedOf(4) },
    { type: 'list-insert', key: 'secret', item: new Uint8Array(16), position: 'V' },
    { type: 'list-delete', key: 'secret', item: new Uint8Array(16) },
    { type: 'list-move', key: 'secret', item: new Uint8Array(16), position: 'k' },
    { type: 'text-insert', key: 'secret', after: id, char: '😀' },
    { type: 'text-delete', key: 'secret', target: id },
    { type: 'text-insert-range', key: 'secret', anchor: { at: 'after', id }, text: 'ä😀' },
    { type: 'text-delete-range', key: 'secret', anchor: { at: 'offset', offset: 3 }, count: 2 }
  ]
  const value = sealed(ops, seedOf(2), 2 ** 53 - 1)
  t.same(open(value), ops)
  t.notOk(Buffer.from(value).includes('secret'))
  t.same(open(sealed([])), [])
  t.notSame(sealed(ops, seedOf(2), 1).subarray(0, 12), sealed(ops, seedOf(2), 2).subarray(0, 12), 'a nonce of its own for each lamport value')
})

t.test('KY-42 what the key does not open is null, what is in the clear stays as it is', async (t) => {
  const value = sealed(plain)
  t.equal(createRoomCipher(hex(e2ee.other_seed_hex)).open([{ type: 'map-set', key: '\u0000e2ee', value }], seedOf(1), 1), null)
  for (let i = 0; i < value.length; i++) t.equal(open(value.map((byte, at) => at === i ? byte ^ 1 : byte)), null)
  for (const length of [0, 1, 11, 12, 27, value.length - 1]) t.equal(open(value.slice(0, length)), null)
  const clear: Op[][] = [plain, [], [{ type: 'map-delete', key: '\u0000e2ee' }], [{ type: 'map-set', key: '\u0000e2e', value }],
    [{ type: 'map-set', key: '\u0000e2ee', value }, { type: 'map-delete', key: 'a' }]]
  for (const ops of clear) t.same(cipher.open(ops, seedOf(1), 1), ops)
  for (const length of [0, 31, 33]) t.throws(() => createRoomCipher(new Uint8Array(length)), RangeError)
})

t.test('KY-43 a plaintext that is no list of operations is null, whatever it claims', async (t) => {
  const { gcm } = await import('@noble/ciphers/aes.js')
  const key = hex(e2ee.room_key_hex)
  const nonce = new Uint8Array(12)
  const seal = (bytes: number[]): Uint8Array => Uint8Array.from([...nonce, ...gcm(key, nonce).encrypt(Uint8Array.from(bytes))])
  for (const bytes of [[], [1], [255, 255, 255, 255, 15], [1, 9, 0, 0], [1, 0, 0, 1, 255, 0], [2, 0, 1, 1, 97]]) t.equal(open(seal(bytes)), null)
  t.same(open(seal([1, 0, 1, 1, 97, 7])), [{ type: 'map-delete', key: 'a' }], 'bytes after the last are ignored')
})
