import { NodalmergeError } from '../errors.js'
import type { Blake3 } from '../protocol/blake3.js'
import { ID_LENGTH } from '../protocol/node.js'
import { cursor, readVarint, readVarint32, skip, take, utf8Encode, writeRaw, writeVarint, writer } from '../protocol/postcard.js'
import type { Dag } from './dag.js'

/**
 * Invertible Bloom filters over node ids (spec/wire-format.md §10): 80 cells, three of which each id enters. Two filters whose sets
 * differ by few ids can be subtracted and the difference read off.
 */
export const CELLS = 80

/** The keys of the three cell hashes; a BLAKE3 with prepared hashers is `loadBlake3([...IBF_KEYS])`. */
export const IBF_KEYS: readonly Uint8Array[] = [0, 1, 2].map((n) => utf8Encode(`nodalmerge-ibf-h${n}-00000000000000`))

/** Words of a cell: the XOR of the ids, and of their checksums. */
const WORDS = 9
const ID_WORDS = 8

/** Cells side by side: how many ids entered each, and the XOR of what entered, as little-endian words. */
export interface Filter { readonly counts: Int32Array, readonly sums: Uint32Array }

/**
 * Which cells an id enters. Native peers take the first 64 bits of a hash modulo 80; WebAssembly ones only see the lower 32 of them
 * (§10, deviation), so their filters cancel only against one built like that.
 */
export type Width = 'wide' | 'narrow'

/** An id as the filters see it. Reused by the next `measure`. */
export interface Measure { readonly wide: Uint8Array, readonly narrow: Uint8Array, readonly words: Uint32Array }

export interface IdHashes {
  /** The id `id[0 .. 32)`. */
  measure (id: Uint8Array): Measure
  /** The checksum word of an id: the first four bytes of its plain hash. */
  checksum (id: Uint8Array): number
}

export function createIdHashes (blake3: Blake3): IdHashes {
  const keyed = IBF_KEYS.map((key) => blake3.keyed(key))
  const measured = { wide: new Uint8Array(3), narrow: new Uint8Array(3), words: new Uint32Array(WORDS) }
  const checksum = (id: Uint8Array): number => word(blake3.hash(id), 0)
  return {
    checksum,
    measure (id) {
      for (let j = 0; j < 3; j++) {
        const hash = keyed[j](id)
        measured.narrow[j] = word(hash, 0) % CELLS
        measured.wide[j] = (measured.narrow[j] + 16 * (word(hash, 4) % CELLS)) % CELLS // 2^32 mod 80 is 16
      }
      for (let w = 0; w < ID_WORDS; w++) measured.words[w] = word(id, 4 * w)
      measured.words[ID_WORDS] = checksum(id)
      return measured
    }
  }
}

function word (bytes: Uint8Array, at: number): number {
  return (bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24) >>> 0
}

export function createFilter (): Filter {
  return { counts: new Int32Array(CELLS), sums: new Uint32Array(CELLS * WORDS) }
}

/** Enters an id (`times` 1) or takes it out (-1). An id whose cells coincide enters the same cell again (§10). */
export function enterId (f: Filter, id: Measure, width: Width, times: 1 | -1): void {
  for (const cell of id[width]) {
    f.counts[cell] += times
    for (let w = 0; w < WORDS; w++) f.sums[cell * WORDS + w] ^= id.words[w]
  }
}

/** What the first set has and the second has not, and the reverse, still folded together. */
export function subtract (a: Filter, b: Filter): Filter {
  return { counts: a.counts.map((count, i) => count - b.counts[i]), sums: a.sums.map((sum, i) => sum ^ b.sums[i]) }
}

/** The XOR of the ids of a cell, and whether its checksum is the one of a single id. */
export function cellId (f: Filter, cell: number): Uint8Array {
  const id = new Uint8Array(ID_LENGTH)
  for (let i = 0; i < ID_LENGTH; i++) id[i] = f.sums[cell * WORDS + (i >> 2)] >>> 8 * (i & 3)
  return id
}

export function cellChecksum (f: Filter, cell: number): number {
  return f.sums[cell * WORDS + ID_WORDS]
}

export function isZero (f: Filter): boolean {
  return f.counts.every((count) => count === 0) && f.sums.every((sum) => sum === 0)
}

/** The wire form: 80, then per cell a zigzag count, the XOR of the ids and the XOR of the checksums. */
export function encodeFilter (f: Filter): Uint8Array {
  const w = writer(1 + CELLS * 41)
  const checksum = new Uint8Array(4)
  writeVarint(w, CELLS)
  for (let cell = 0; cell < CELLS; cell++) {
    writeVarint(w, (f.counts[cell] << 1 ^ f.counts[cell] >> 31) >>> 0)
    writeRaw(w, cellId(f, cell))
    for (let i = 0; i < 4; i++) checksum[i] = cellChecksum(f, cell) >>> 8 * i
    writeRaw(w, checksum)
  }
  return take(w)
}

/**
 * Reads a filter of exactly 80 cells; bytes after the last one are ignored (§1.3). Throws `reject.protocol_invalid_field` for another
 * number of cells and `reject.protocol_invalid_message` for a short or malformed input.
 */
export function decodeFilter (bytes: Uint8Array): Filter {
  const c = cursor(bytes)
  if (readVarint(c) !== CELLS) throw new NodalmergeError('reject.protocol_invalid_field', `a filter has ${CELLS} cells`)
  const filter = createFilter()
  for (let cell = 0; cell < CELLS; cell++) {
    const zigzag = readVarint32(c)
    filter.counts[cell] = zigzag >>> 1 ^ -(zigzag & 1)
    const start = skip(c, 4 * WORDS)
    for (let w = 0; w < WORDS; w++) filter.sums[cell * WORDS + w] = word(bytes, start + 4 * w)
  }
  return filter
}

/** Both filters of a room, in both widths, updated by one computation of an id's hashes. */
export interface Filters {
  /** Ids entered. */
  readonly count: number
  /** Enters an id; no id may be entered twice. */
  add (id: Uint8Array): void
  readonly wide: Filter
  readonly narrow: Filter
  readonly hashes: IdHashes
}

/** Empty filters. Cells are allocated when first needed: an empty room has none. */
export function createFilters (blake3: Blake3): Filters {
  const hashes = createIdHashes(blake3)
  let wide: Filter | undefined
  let narrow: Filter | undefined
  let count = 0
  return {
    hashes,
    get count () { return count },
    get wide () { return wide ?? createFilter() },
    get narrow () { return narrow ?? createFilter() },
    add (id) {
      wide ??= createFilter()
      narrow ??= createFilter()
      const measured = hashes.measure(id)
      enterId(wide, measured, 'wide', 1)
      enterId(narrow, measured, 'narrow', 1)
      count++
    }
  }
}

/** Ids entered between two yields: four hashes each. */
const FEED_SLICE = 500

/**
 * Enters the ids of a DAG that are not in the filters yet, in slices. Whoever adds each id as it comes finds nothing left to do; whoever
 * never does pays when a filter is first looked at. Both ways keep the filters at the first `count` nodes of the DAG; do not mix them.
 */
export function * feedFilters (filters: Filters, dag: Dag): Generator<void, void> {
  for (let left = FEED_SLICE; filters.count < dag.size; left--) {
    if (left === 0) {
      yield
      left = FEED_SLICE
    }
    filters.add(dag.id(filters.count))
  }
}
