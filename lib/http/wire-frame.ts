/**
 * The WebSocket frames of a server's text messages (RFC 6455 §5.2: final, unmasked, not compressed). The library below would make one
 * for every socket anew; a relay goes to a thousand sockets, so its frame is made once and all of them are given the same bytes.
 */
export interface WireFrames {
  /** The frame around a message, in one piece; of one that was asked for lately, the same bytes as then. Null for a long message. */
  of (message: Uint8Array): Uint8Array | null
}

const FINAL_TEXT = 0x81
/** Lengths from here on take two bytes more, announced by this number. */
const TWO_BYTES = 126
/** Copying a longer message behind its head costs more than writing the two one after the other. */
const LONG = 65_536

export function createWireFrames (): WireFrames {
  const made = new WeakMap<Uint8Array, Uint8Array>()
  return {
    of (message) {
      if (message.length >= LONG) return null
      let frame = made.get(message)
      if (frame === undefined) made.set(message, frame = around(message))
      return frame
    }
  }
}

function around (message: Uint8Array): Uint8Array {
  const { length } = message
  const head = length < TWO_BYTES ? [FINAL_TEXT, length] : [FINAL_TEXT, TWO_BYTES, length >> 8, length & 255]
  const frame = Buffer.allocUnsafe(head.length + length)
  frame.set(head)
  frame.set(message, head.length)
  return frame
}
