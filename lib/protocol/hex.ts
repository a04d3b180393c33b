const DIGITS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Bytes as lower-case hexadecimal. */
export function toHex (bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i < bytes.length; i++) text += DIGITS[bytes[i]]
  return text
}

function nibble (unit: number): number {
  if (unit >= 48 && unit <= 57) return unit - 48
  if (unit >= 97 && unit <= 102) return unit - 87
  if (unit >= 65 && unit <= 70) return unit - 55
  return -1
}

/** Hexadecimal of exactly `length` bytes, either case, or null when it is anything else (spec/session-protocol.md §0.3). */
export function fromHex (text: unknown, length: number): Uint8Array | null {
  if (typeof text !== 'string' || text.length !== length * 2) return null
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) {
    const high = nibble(text.charCodeAt(2 * i))
    const low = nibble(text.charCodeAt(2 * i + 1))
    if (high < 0 || low < 0) return null
    bytes[i] = high << 4 | low
  }
  return bytes
}

/** A list of 32-byte values in hexadecimal; entries that are not are skipped, and anything but an array is an empty list. */
export function fromHexList (list: unknown): Uint8Array[] {
  if (!Array.isArray(list)) return []
  return list.flatMap((entry) => fromHex(entry, 32) ?? [])
}
