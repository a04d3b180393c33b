import { utf8Encode } from '../protocol/postcard.js'
import { toHex } from '../protocol/hex.js'
import type { Held } from '../state/map.js'

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** What a map shows for a key that holds a blob: 64 lower-case hexadecimal digits of its BLAKE3. */
export interface BlobRef { readonly hash: string }

/** How a value is written: JSON (default), the UTF-8 of a string as the original runtime client does it, or bytes as they are. */
export type Encoding = 'json' | 'utf8' | 'bytes'

/** Nothing under a key. */
export const ABSENT: Held = { value: undefined, blob: false }

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A value as a map holds it (spec/client.md §6.2). Throws TypeError for what the encoding cannot express. */
export function encodeValue (value: unknown, encoding: Encoding = 'json'): Held {
  if (encoding === 'json') return { value: utf8Encode(jsonText(value)), blob: false }
  if (encoding === 'utf8') {
    if (typeof value !== 'string') throw new TypeError('the encoding utf8 takes a string')
    return { value: utf8Encode(value), blob: false }
  }
  if (encoding !== 'bytes') throw new RangeError("an encoding is 'json', 'utf8' or 'bytes'")
  if (!(value instanceof Uint8Array)) throw new TypeError('the encoding bytes takes a Uint8Array')
  return { value: value.slice(), blob: false }
}

function jsonText (value: unknown): string {
  if (ArrayBuffer.isView(value)) throw new TypeError("bytes are not JSON: use setBlob, or the encoding 'bytes'")
  const text: string | undefined = JSON.stringify(value)
  if (text === undefined) throw new TypeError('the value cannot be expressed as JSON')
  return text
}

/** Reads what any client wrote: a blob reference, JSON, else UTF-8 text, else the bytes. */
export function decodeValue ({ value, blob }: Held): unknown {
  if (value === undefined) return undefined
  if (blob) return Object.freeze<BlobRef>({ hash: toHex(value) })
  let text: string
  try {
    text = strict.decode(value)
  } catch {
    return value.slice()
  }
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
