/**
 * The key of a node in the small maps of nodes that are on their way (pending, orphaned): its 32 id bytes as a one-byte string, which
 * is made and hashed faster than hexadecimal. What a room holds for good is never keyed like this.
 */
export function keyAt (bytes: Uint8Array, at: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, 32).toString('latin1')
}
