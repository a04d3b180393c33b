import { toBase64 } from '../../lib/protocol/base64.js'
import type { Blake3 } from '../../lib/protocol/blake3.js'
import { fromHex } from '../../lib/protocol/hex.js'
import { take, utf8Encode, writeRaw, writeVarint, writer } from '../../lib/protocol/postcard.js'

const CELLS = 80
const ZEROS = '0'.repeat(14)
export const IBF_KEYS = [0, 1, 2].map((k) => utf8Encode(`nodalmerge-ibf-h${k}-${ZEROS}`))

/** Cell indices as a WebAssembly client computes them: the first eight bytes are cut to their low 32 bits (spec/wire-format.md §10). */
export function indices32 (id: Uint8Array, blake3: Blake3): number[] {
  return IBF_KEYS.map((key) => {
    const hash = blake3.keyed(key)(id)
    return new DataView(hash.buffer, hash.byteOffset).getUint32(0, true) % CELLS
  })
}

/** The `ibf` field of a WebAssembly client's `hello`, over all its ids. */
export function filter32 (ids: Iterable<string>, blake3: Blake3): string {
  const cells = Array.from({ length: CELLS }, () => ({ count: 0, ids: new Uint8Array(32), checks: new Uint8Array(4) }))
  for (const hex of ids) {
    const id = fromHex(hex, 32) ?? new Uint8Array(32)
    const check = blake3.hash(id).subarray(0, 4)
    for (const index of indices32(id, blake3)) {
      const cell = cells[index]
      cell.count++
      for (let i = 0; i < 32; i++) cell.ids[i] ^= id[i]
      for (let i = 0; i < 4; i++) cell.checks[i] ^= check[i]
    }
  }
  const w = writer(3000)
  writeVarint(w, CELLS)
  for (const cell of cells) {
    writeVarint(w, cell.count * 2)
    writeRaw(w, cell.ids)
    writeRaw(w, cell.checks)
  }
  return toBase64(take(w))
}
