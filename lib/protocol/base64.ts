import { NodalmergeError } from '../errors.js'

/**
 * Base64 as the protocol uses it: the standard alphabet, padded on output; padded or unpadded on input, everything else refused
 * (spec/session-protocol.md §0.3). Node's Buffer does the work where there is one, `atob` in a browser.
 */
export function toBase64 (bytes: Uint8Array): string {
  if (typeof Buffer === 'function') return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
  let text = ''
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192))
  return btoa(text)
}

/** Length in bytes of what `text` encodes, from its length and padding alone; the bound to check before anything is allocated. */
export function base64Length (text: string): number {
  let end = text.length
  while (end > 0 && text.length - end < 2 && text.charCodeAt(end - 1) === 61) end--
  return Math.floor(end * 3 / 4)
}

/** Throws `reject.protocol_invalid_message` (`invalid pack: bad base64`). */
export function fromBase64 (text: string): Uint8Array {
  const length = base64Length(text)
  if (text.length % 4 === 1 || (text.endsWith('=') && text.length % 4 !== 0)) throw badBase64()
  const bytes = typeof Buffer === 'function' ? fromBuffer(text) : fromAtob(text)
  if (bytes === null || bytes.length !== length) throw badBase64()
  return bytes
}

function badBase64 (): NodalmergeError {
  return new NodalmergeError('reject.protocol_invalid_message', 'invalid pack: bad base64')
}

/**
 * Buffer skips what it does not know, which shows as a shorter result; but it also reads the URL alphabet, and of a character beyond
 * Latin-1 it takes the low byte, so those are looked for here.
 */
function fromBuffer (text: string): Uint8Array | null {
  if (text.includes('-') || text.includes('_') || Buffer.byteLength(text) !== text.length) return null
  const buffer = Buffer.from(text, 'base64')
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length)
}

function fromAtob (text: string): Uint8Array | null {
  if (/[^A-Za-z0-9+/=]/.test(text)) return null
  try {
    const units = atob(text)
    // A loop: `Uint8Array.from` with a function costs tens of milliseconds for a frame.
    const bytes = new Uint8Array(units.length)
    for (let i = 0; i < units.length; i++) bytes[i] = units.charCodeAt(i)
    return bytes
  } catch {
    return null
  }
}
