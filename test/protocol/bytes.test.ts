import t from 'tap'
import fc from 'fast-check'
import { base64Length, fromBase64, toBase64 } from '../../lib/protocol/base64.js'
import { bytesAt, compareBytes, concat, equalBytes, sortedIds } from '../../lib/protocol/bytes.js'
import { fromHex, fromHexList, toHex } from '../../lib/protocol/hex.js'
import { idOfKey, keyAt } from '../../lib/protocol/id-key.js'
import { hex } from './vectors.js'

const badBase64 = { code: 'reject.protocol_invalid_message', message: 'invalid pack: bad base64' }

/** What the rule says, in one expression: full groups of the alphabet, then a group of 2 or 3 with or without its padding. */
const STRICT = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/

/** Runs `check` as it is and in a world without Buffer, as in a browser. */
function inBothWorlds (check: () => void): void {
  check()
  const { Buffer: kept } = globalThis
  try {
    Reflect.deleteProperty(globalThis, 'Buffer')
    check()
  } finally {
    globalThis.Buffer = kept
  }
}

t.test('PC-16 base64 is written padded and read padded or not', async (t) => {
  const failures: string[] = []
  inBothWorlds(() => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const text = toBase64(bytes)
      return text.length % 4 === 0 && base64Length(text) === bytes.length && equalBytes(fromBase64(text), bytes) &&
        equalBytes(fromBase64(text.replaceAll('=', '')), bytes) && base64Length(text.replaceAll('=', '')) === bytes.length
    }))
    const long = new Uint8Array(20000).map((_, i) => i * 7)
    if (!equalBytes(fromBase64(toBase64(long)), long)) failures.push('long')
    if (toBase64(Uint8Array.of(0)) !== 'AA==' || toBase64(Uint8Array.of(0xfb, 0xff)) !== '+/8=') failures.push('alphabet')
  })
  t.same(failures, [])
})

t.test('PC-16 base64 with anything foreign in it is refused', async (t) => {
  const wrong: string[] = []
  const check = (text: string) => {
    let read = true
    try { fromBase64(text) } catch (error) { read = false; if ((error as Error).message !== badBase64.message) throw error }
    if (read !== STRICT.test(text)) wrong.push(JSON.stringify(text))
    return read === STRICT.test(text)
  }
  inBothWorlds(() => {
    for (const text of ['A', 'AA=', 'A===', '====', '=', 'AA==AAAA', 'AAA=AAA=', 'AAAA=', 'AAAA====', 'AA A', 'AAA\n', 'AA-_', 'AAA-', '\u0141\u0141\u0141\u0141', 'AAA\u0141', 'AAA\0', '', 'AAé=']) check(text)
    fc.assert(fc.property(fc.string({ unit: fc.constantFrom(...'AZaz09+/=-_ \n\u0141é'), maxLength: 12 }), check), { numRuns: 2000 })
  })
  t.same(wrong, [])
  t.throws(() => fromBase64('*'), badBase64)
})

t.test('PC-20 the key of an id is its bytes, one character each, wherever it lies', async (t) => {
  const failures: string[] = []
  const bytes = new Uint8Array(40).map((_, i) => i * 37)
  inBothWorlds(() => {
    const key = keyAt(bytes, 5)
    if (key.length !== 32 || !equalBytes(idOfKey(key), bytes.subarray(5, 37)) || keyAt(bytes) !== keyAt(bytes, 0)) failures.push(key)
  })
  t.same(failures, [])
})

t.test('PC-17 hexadecimal is written in lower case, read in either, and nothing else passes', async (t) => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
    const text = toHex(bytes)
    return text === Buffer.from(bytes).toString('hex') && equalBytes(fromHex(text.toUpperCase(), bytes.length) ?? hex('ff'), bytes)
  }))
  for (const bad of ['0', '000', 'g0', '0G', '0/', ':0', '@0', '`0', ' 0', 5, null, undefined, ['00'], '\u0130\u0130']) t.equal(fromHex(bad, 1), null, String(bad))
  const id = 'AB'.repeat(32)
  t.same(fromHexList([id, 'ab', 7, null, id.toLowerCase()]), [hex(id), hex(id)])
  t.same(fromHexList('no list'), [])
})

t.test('PC-19 byte strings are ordered by their first difference, a prefix first', async (t) => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 6, max: 3 }), fc.uint8Array({ maxLength: 6, max: 3 }), (a, b) =>
    Math.sign(compareBytes(a, b)) === Buffer.compare(a, b) && equalBytes(a, b) === (Buffer.compare(a, b) === 0)))
  t.same(sortedIds([hex('02'), hex('01ff'), hex('02'), hex('01')]), [hex('01'), hex('01ff'), hex('02')])
  t.same(concat([hex('01'), hex(''), hex('0203')]), hex('010203'))
  t.ok(bytesAt(hex('00010203'), 1, hex('0102')))
  t.notOk(bytesAt(hex('00010203'), 1, hex('0103')))
  t.notOk(bytesAt(hex('0001'), 1, hex('0102')), 'nothing beyond the end')
})
