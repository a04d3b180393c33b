import type { Blake3 } from './blake3.js'

/** Initial words, as of SHA-256. */
const IV = Uint32Array.of(0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19)
/** Where the words of a block go between two rounds. */
const ORDER = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
const ROUNDS = 7
const BLOCK = 64
const CHUNK = 1024

const CHUNK_START = 1
const CHUNK_END = 2
const PARENT = 4
const ROOT = 8
const KEYED = 16

/** For every round, which word of the block comes at which of its sixteen places. */
const SCHEDULE = Uint8Array.from({ length: 16 * ROUNDS }, (_, i) => {
  let word = i % 16
  for (let round = Math.floor(i / 16); round > 0; round--) word = ORDER[word]
  return word
})

const v = new Uint32Array(16)
const block = new Uint32Array(16)

function mix (a: number, b: number, c: number, d: number, x: number, y: number): void {
  v[a] += v[b] + x
  let t = v[d] ^ v[a]
  v[d] = t >>> 16 | t << 16
  v[c] += v[d]
  t = v[b] ^ v[c]
  v[b] = t >>> 12 | t << 20
  v[a] += v[b] + y
  t = v[d] ^ v[a]
  v[d] = t >>> 8 | t << 24
  v[c] += v[d]
  t = v[b] ^ v[c]
  v[b] = t >>> 7 | t << 25
}

/** Brings the block's words into the chaining value. `chunk` is a chunk's number; inputs have fewer than 2^32 of them. */
function compress (chain: Uint32Array, chunk: number, length: number, flags: number): void {
  v.set(chain)
  v.set(IV.subarray(0, 4), 8)
  v[12] = chunk
  v[13] = 0
  v[14] = length
  v[15] = flags
  for (let r = 0; r < 16 * ROUNDS; r += 16) {
    for (let i = 0; i < 4; i++) mix(i, 4 + i, 8 + i, 12 + i, block[SCHEDULE[r + 2 * i]], block[SCHEDULE[r + 2 * i + 1]])
    for (let i = 0; i < 4; i++) mix(i, 4 + (i + 1 & 3), 8 + (i + 2 & 3), 12 + (i + 3 & 3), block[SCHEDULE[r + 8 + 2 * i]], block[SCHEDULE[r + 9 + 2 * i]])
  }
  for (let i = 0; i < 8; i++) chain[i] = v[i] ^ v[i + 8]
}

function load (data: Uint8Array, from: number, to: number): void {
  block.fill(0)
  for (let at = from; at < to; at++) block[at - from >> 2] |= data[at] << 8 * (at - from & 3)
}

/** The chaining value of `data[from .. to)`, whose first chunk has a number; `root` when that is all there is. */
function chained (data: Uint8Array, from: number, to: number, chunk: number, key: Uint32Array, flags: number, root: number): Uint32Array {
  const chain = key.slice()
  if (to - from > CHUNK) {
    let left = CHUNK
    while (2 * left < to - from) left *= 2
    const halves = [chained(data, from, from + left, chunk, key, flags, 0), chained(data, from + left, to, chunk + left / CHUNK, key, flags, 0)]
    block.set(halves[0])
    block.set(halves[1], 8)
    compress(chain, 0, BLOCK, flags | PARENT | root)
    return chain
  }
  for (let at = from, first = CHUNK_START; first > 0 || at < to; at += BLOCK, first = 0) {
    const end = Math.min(to, at + BLOCK)
    load(data, at, end)
    compress(chain, chunk, end - at, flags | first | (end === to ? CHUNK_END | root : 0))
  }
  return chain
}

/** Words of four bytes each, the least first, and back. */
function words (bytes: Uint8Array): Uint32Array {
  return Uint32Array.from({ length: 8 }, (_, i) => bytes[4 * i] | bytes[4 * i + 1] << 8 | bytes[4 * i + 2] << 16 | bytes[4 * i + 3] << 24)
}

function bytes (chain: Uint32Array): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => chain[i >> 2] >>> 8 * (i & 3))
}

/**
 * BLAKE3-256 in a few lines of JavaScript, for the first bundle of a page: it is there before anything else is loaded, and hashes
 * until the one in WebAssembly takes over. Inputs are nodes and keys, some hundred bytes each.
 */
export const plainBlake3: Blake3 = {
  hash: (data) => bytes(chained(data, 0, data.length, 0, IV, 0, ROOT)),
  keyed (key) {
    if (key.length !== 32) throw new RangeError('a key has 32 bytes')
    const own = words(key)
    return (data) => bytes(chained(data, 0, data.length, 0, own, KEYED, ROOT))
  }
}
