import type { Blake3 } from '../../lib/protocol/blake3.js'
import { compareBytes, concat } from '../../lib/protocol/bytes.js'
import { toHex } from '../../lib/protocol/hex.js'
import { type SignedNode, readNode, scanNode } from '../../lib/protocol/node.js'
import { cursor, utf8Encode } from '../../lib/protocol/postcard.js'

interface Slot { node: SignedNode, value: Uint8Array | null }

/** Greater wins; of two nodes of one author at one lamport value the smaller id (design §5, row 22). */
function beats (a: SignedNode, b: SignedNode): boolean {
  if (a.lamport !== b.lamport) return a.lamport > b.lamport
  const order = compareBytes(a.author, b.author)
  return order !== 0 ? order > 0 : compareBytes(a.id, b.id) < 0
}

/**
 * The canonical hash of a set of nodes (spec/wire-format.md §15.1), worked out the plain way: a second opinion on the one in `state`.
 */
export function canonicalHash (nodes: Iterable<Uint8Array>, blake3: Blake3): string {
  const slots = new Map<string, Slot>()
  for (const bytes of nodes) {
    const node = readNode(scanNode(cursor(bytes)))
    if (node.lamport === 0 && node.author.every((byte) => byte === 0)) continue
    for (const op of node.ops) {
      if (op.type !== 'map-set' && op.type !== 'map-delete' && op.type !== 'map-set-blob') continue
      const present = slots.get(op.key)
      if (present !== undefined && !beats(node, present.node)) continue
      slots.set(op.key, { node, value: op.type === 'map-set' ? op.value : op.type === 'map-set-blob' ? op.hash : null })
    }
  }
  const entries = [...slots].flatMap(([key, { value }]) => value === null || key === '\u0000e2ee' ? [] : [[utf8Encode(key), value]])
  entries.sort(([a], [b]) => compareBytes(a, b))
  return toHex(blake3.hash(concat(entries.flat().flatMap((part) => [lengthOf(part), part]))))
}

function lengthOf (bytes: Uint8Array): Uint8Array {
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, bytes.length, true)
  return length
}
