import { encodeNode, encodeTransaction, ID_LENGTH, SIGNATURE_LENGTH } from '../protocol/node.js'

/**
 * A node for store tests: whole and canonical in form, different for every `n`, and the same each time. Its id and signature are
 * filler, which no store looks into. `bytes` is the size of the value it writes.
 */
export function sampleNode (n: number, bytes = 16): Uint8Array {
  const id = filler(ID_LENGTH, n)
  const author = filler(32, 7)
  const value = filler(bytes, n)
  const op = { type: 'map-set', key: `key ${n}`, value } as const
  const transaction = encodeTransaction({ author, lamport: n, wallMs: 1_700_000_000_000 + n, ops: [op], parents: [] })
  return encodeNode(id, transaction, filler(SIGNATURE_LENGTH, n))
}

/** `sampleNode` for `from`, `from + 1`, … */
export function sampleNodes (from: number, count: number, bytes?: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => sampleNode(from + i, bytes))
}

/** Bytes that start with `n` and go on as a linear congruential sequence. */
function filler (length: number, n: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let x = n >>> 0
  for (let i = 0; i < length; i++) {
    bytes[i] = i < 4 ? n >>> (8 * i) : x >>> 24
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0
  }
  return bytes
}
