/** How a zstd frame begins. Objects behind a presigned address may lie there compressed (spec/client.md §2.1). */
const MAGIC = [0x28, 0xb5, 0x2f, 0xfd]

export function isZstd (bytes: Uint8Array): boolean {
  return MAGIC.every((byte, i) => bytes[i] === byte)
}

/** The content of zstd frames; null when they are broken or hold more than `maxBytes`. The decoder is loaded when first needed. */
export async function unzstd (bytes: Uint8Array, maxBytes: number): Promise<Uint8Array | null> {
  const { Decompress } = await import('fzstd')
  const parts: Uint8Array[] = []
  let size = 0
  const decoder = new Decompress((part) => {
    size += part.length
    if (size > maxBytes) throw new RangeError('too large')
    parts.push(part.slice())
  })
  try {
    decoder.push(bytes, true)
  } catch {
    return null
  }
  const whole = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
