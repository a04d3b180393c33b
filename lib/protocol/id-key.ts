/**
 * The key of a node in the small maps of nodes that are on their way (pending, orphaned): its 32 id bytes as characters, made and
 * hashed faster than hexadecimal. What a room or a replica holds for good is never keyed like this.
 */
export function keyAt (bytes: Uint8Array, at = 0): string {
  if (typeof Buffer === 'function') return Buffer.from(bytes.buffer, bytes.byteOffset + at, 32).toString('latin1')
  return String.fromCharCode(...bytes.subarray(at, at + 32))
}

/** The id that a key stands for. */
export function idOfKey (key: string): Uint8Array {
  return Uint8Array.from(key, (unit) => unit.charCodeAt(0))
}
