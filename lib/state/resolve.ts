import type { Blake3 } from '../protocol/blake3.js'
import { utf8Encode } from '../protocol/postcard.js'
import { compareUtf8 } from './order.js'

/** The key that holds the encrypted operations of a node (spec/wire-format.md §14). */
export const ENCRYPTED_KEY = '\0e2ee'

/**
 * Which keys a hash leaves out (spec/control-plane.md §2.3). Three are in use and differ on purpose: `replay` for replay, lineage and
 * archive checkpoints; `snapshot` for the hash a snapshot attests; `none` for the result of an archive import and projections.
 */
export const EXCLUDED = {
  replay: (key: string): boolean => key === ENCRYPTED_KEY,
  snapshot: (key: string): boolean => key.startsWith('\0'),
  none: (): boolean => false
} as const

/**
 * BLAKE3 over a resolved map: for each entry, by key in UTF-8 byte order, length and bytes of key and value (spec/wire-format.md
 * §15.1). Texts and lists contribute nothing. `excluded` says which keys to leave out.
 */
export function canonicalHash (entries: Iterable<[string, Uint8Array]>, blake3: Blake3, excluded: (key: string) => boolean = EXCLUDED.replay): Uint8Array {
  const chosen = [...entries].filter(([key]) => !excluded(key)).sort(([a], [b]) => compareUtf8(a, b))
  const parts = chosen.map(([key, value]) => ({ key: utf8Encode(key), value }))
  const bytes = new Uint8Array(parts.reduce((sum, { key, value }) => sum + 8 + key.length + value.length, 0))
  const lengths = new DataView(bytes.buffer)
  let at = 0
  for (const { key, value } of parts) {
    for (const field of [key, value]) {
      lengths.setUint32(at, field.length, true)
      bytes.set(field, at + 4)
      at += 4 + field.length
    }
  }
  return blake3.hash(bytes)
}
