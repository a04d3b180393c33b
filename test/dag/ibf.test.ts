import assert from 'node:assert/strict'
import t from 'tap'
import fc from 'fast-check'
import { nobleBlake3 } from '../../lib/protocol/blake3.js'
import { loadBlake3 } from '../../lib/protocol/blake3-wasm.js'
import { toBase64 } from '../../lib/protocol/base64.js'
import { concat } from '../../lib/protocol/bytes.js'
import { toHex } from '../../lib/protocol/hex.js'
import { MAX_PASSES, peelByCount, peelByMembership } from '../../lib/dag/ibf-peel.js'
import {
  type Filter, IBF_KEYS, type IdHashes, type Width, createFilter, createFilters, createIdHashes, decodeFilter, encodeFilter, enterId,
  feedFilters, isZero, subtract
} from '../../lib/dag/ibf.js'
import { dagOf, finish, hex, hexes, makeNode, repeated, sortedHexes, spreadIds, vectors } from './sample.js'

const blake3 = await loadBlake3(IBF_KEYS)
const hashes = createIdHashes(blake3)

function filterOf (ids: readonly Uint8Array[], width: Width = 'wide'): Filter {
  const filter = createFilter()
  for (const id of ids) enterId(filter, hashes.measure(id), width, 1)
  return filter
}

const idsOf = (spec: string | number[]): Uint8Array[] => {
  if (typeof spec !== 'string') return spec.map(repeated)
  return spec.split(' and ').flatMap((part) => {
    const [from, to] = part.split('..').map(Number)
    return Array.from({ length: to - from + 1 }, (_, i) => repeated(from + i))
  })
}

t.test('IB-1 the cells and the checksum of an id are those of the vectors, in both widths', async (t) => {
  for (const { id_hex: id, indices_64bit: wide, indices_if_truncated_to_32bit: narrow, checksum_hex: sum } of vectors.derived.ibf.per_id) {
    for (const source of [hashes, createIdHashes(nobleBlake3)]) {
      const measured = source.measure(hex(id))
      t.same([...measured.wide], wide)
      t.same([...measured.narrow], narrow)
      t.equal(toHex(new Uint8Array(Uint32Array.of(source.checksum(hex(id))).buffer)), sum)
    }
  }
})

t.test('IB-2 filters encode as the vectors have them and read back', async (t) => {
  for (const vector of vectors.derived.ibf.filters) {
    const filter = filterOf(vector.ids_hex.map(hex))
    const bytes = encodeFilter(filter)
    t.equal(bytes.length, vector.encoded_length ?? 2961, vector.name)
    t.equal(toHex(nobleBlake3.hash(bytes)), vector.encoded_blake3_hex, vector.name)
    if (vector.encoded_base64 !== undefined) t.equal(toBase64(bytes), vector.encoded_base64, vector.name)
    t.same(decodeFilter(bytes), filter)
    t.same(decodeFilter(concat([bytes, repeated(1)])), filter, 'bytes after the cells are ignored')
  }
})

t.test('IB-2 every count of 32 bits survives the encoding', async (t) => {
  const filter = filterOf(spreadIds(9))
  const counts = [0, 1, -1, 63, -64, 64, 2 ** 31 - 1, -(2 ** 31)]
  filter.counts.set(counts)
  t.same([...decodeFilter(encodeFilter(filter)).counts.slice(0, 8)], counts)
})

t.test('IB-3 a filter that is short or has another number of cells is refused', async (t) => {
  const bytes = encodeFilter(filterOf(spreadIds(300)))
  for (const length of [0, 1, 2, 36, 37, 2960, bytes.length - 1]) {
    t.throws(() => decodeFilter(bytes.subarray(0, length)), { code: 'reject.protocol_invalid_message' }, `${length} bytes`)
  }
  for (const cells of ['00', '4f', '51', 'ffffffff0f', 'ffffffffffffffffff01']) {
    t.throws(() => decodeFilter(concat([hex(cells), bytes.subarray(1)])), {
      code: 'reject.protocol_invalid_field', message: 'a filter has 80 cells'
    })
  }
  t.throws(() => decodeFilter(concat([hex('50ffffffff1f'), bytes])), { code: 'reject.protocol_invalid_message' })
})

t.test('IB-4 the reference decoder reads off what the reference asserts', async (t) => {
  for (const b of [...vectors.reference.ibf.behaviour, ...vectors.derived.ibf.decode.map((d: Record<string, string[]>) =>
    Object.fromEntries(Object.entries(d).map(([k, v]) => [k, v.map((text) => parseInt(text, 16))])))]) {
    const [self, other] = [idsOf(b.self_bytes ?? b.self), idsOf(b.other_bytes ?? b.other)]
    const held = new Set(hexes(self))
    for (const width of ['wide', 'narrow'] as const) {
      const diff = () => subtract(filterOf(self, width), filterOf(other, width))
      const readings = [peelByMembership(diff(), width, hashes, (id) => held.has(toHex(id)))]
      if (width === 'wide') readings.push(peelByCount(diff(), width, hashes))
      for (const found of readings) {
        t.same(sortedHexes(found?.onlySelf ?? []), sortedHexes(idsOf(b.only_self)))
        t.same(sortedHexes(found?.onlyOther ?? []), sortedHexes(idsOf(b.only_other)))
        t.ok(found)
      }
    }
  }
})

t.test('IB-5 no decoder takes more than 319 ids off a filter', async (t) => {
  const pure = (count: number): Filter => {
    const filter = createFilter()
    const ids = spreadIds(count)
    for (const id of ids) enterId(filter, hashes.measure(id), 'wide', 1)
    return filter
  }
  t.equal(peelByCount(pure(400), 'wide', hashes), null)
  t.equal(peelByMembership(pure(400), 'wide', hashes, () => true), null)
  // Hashes under which a cell stays pure whatever is taken off it, each time with another id.
  let taken = 0
  const endless: IdHashes = {
    checksum: () => 0,
    measure () {
      taken++
      const words = Uint32Array.of(taken ^ (taken - 1), 0, 0, 0, 0, 0, 0, 0, 0)
      return { wide: new Uint8Array(3), narrow: new Uint8Array(3), words }
    }
  }
  const stuck = createFilter()
  stuck.counts[0] = 1
  t.equal(peelByMembership(stuck, 'wide', endless, () => true), null)
  t.equal(taken, MAX_PASSES - 1)
  taken = 0
  const elsewhere = createFilter()
  elsewhere.counts[3] = -1
  t.equal(peelByCount(elsewhere, 'wide', endless), null)
  t.equal(taken, MAX_PASSES)
})

t.test('IB-6 what is read off is right whenever a decoder answers, and deciding by membership answers more often', async (t) => {
  let byCount = 0
  let byMembership = 0
  fc.assert(fc.property(fc.nat(30), fc.nat(30), fc.nat(200), fc.nat(1e6), fc.constantFrom('wide' as const, 'narrow' as const), (a, b, shared, seed, width) => {
    const ids = spreadIds(a + b + shared, seed)
    const [self, other] = [[...ids.slice(0, a), ...ids.slice(a + b)], ids.slice(a)]
    const held = new Set(hexes(self))
    const diff = () => subtract(filterOf(self, width), filterOf(other, width))
    const counted = peelByCount(diff(), width, hashes)
    const looked = peelByMembership(diff(), width, hashes, (id) => held.has(toHex(id)))
    byCount += counted === null ? 0 : 1
    byMembership += looked === null ? 0 : 1
    for (const found of [counted, looked]) {
      if (found === null) continue
      assert.deepEqual(sortedHexes(found.onlySelf), sortedHexes(ids.slice(0, a)))
      assert.deepEqual(sortedHexes(found.onlyOther), sortedHexes(ids.slice(a, a + b)))
    }
    if (a + b <= 4) assert.ok(looked)
  }), { numRuns: 150 })
  t.ok(byMembership > byCount && byMembership > 75, `${byMembership} and ${byCount} of 150`)
})

t.test('IB-6 filters of different widths do not cancel', async (t) => {
  const ids = spreadIds(200)
  t.ok(isZero(subtract(filterOf(ids), filterOf(ids))))
  t.equal(peelByMembership(subtract(filterOf(ids, 'wide'), filterOf(ids, 'narrow')), 'wide', hashes, () => true), null)
})

t.test('IB-7 a room keeps both widths up to date with four hashes per id', async (t) => {
  let count = 0
  const counted = (hash: (data: Uint8Array) => Uint8Array) => (data: Uint8Array) => { count++; return hash(data) }
  const filters = createFilters({ hash: counted(blake3.hash), keyed: (key) => counted(blake3.keyed(key)) })
  t.ok(isZero(filters.wide) && isZero(filters.narrow))
  const ids = spreadIds(50)
  for (const id of ids) filters.add(id)
  t.equal(count, 200)
  t.equal(filters.count, 50)
  t.same(filters.wide, filterOf(ids))
  t.same(filters.narrow, filterOf(ids, 'narrow'))
})

t.test('IB-8 filters that were not kept up to date catch up in slices, also while nodes arrive', async (t) => {
  const ids = spreadIds(1300)
  const dag = dagOf(ids.slice(0, 1200))
  const filters = createFilters(blake3)
  let yields = 0
  finish(feedFilters(filters, dag), () => { dag.append(makeNode([], { id: ids[1200 + yields++] })) })
  t.equal(yields, 2)
  t.same(filters.wide, filterOf(ids.slice(0, 1202)))
  finish(feedFilters(filters, dag), () => t.fail('nothing left to do'))
  t.equal(filters.count, 1202)
})
