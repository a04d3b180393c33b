import { utf8Encode } from '../protocol/postcard.js'

/**
 * The keys of the embedded store. All start with a letter for what they hold:
 *
 *     f                            the format of this database, JSON
 *     h room                       seq of the room's last node, 8 bytes; every room has one
 *     n length(room) room seq      a record of nodes, under the seq of its first one
 *     s room                       control state, JSON
 *
 * Rooms are UTF-8. Seqs and the two bytes of length are big-endian, so that keys sort as seqs do; the length keeps rooms apart of
 * which one begins like the other.
 */
export const FORMAT_KEY = Uint8Array.of(0x66)
const HEAD = 0x68
const NODES = 0x6e
const STATE = 0x73

/** Every head; `HEADS.lt` is the letter after theirs. */
export const HEADS = { gte: Uint8Array.of(HEAD), lt: Uint8Array.of(HEAD + 1) }

export function headKey (room: string): Uint8Array {
  return tagged(HEAD, utf8Encode(room))
}

export function stateKey (room: string): Uint8Array {
  return tagged(STATE, utf8Encode(room))
}

/** The room of a head's key. */
export function roomOf (key: Uint8Array): string {
  return decoder.decode(key.subarray(1))
}

/** The keys of a room's records. */
export function nodeKeys (room: string): (seq: number) => Uint8Array {
  const name = utf8Encode(room)
  const prefix = new Uint8Array(3 + name.length + 8)
  prefix.set([NODES, name.length >> 8, name.length & 0xff])
  prefix.set(name, 3)
  return (seq) => {
    const key = prefix.slice()
    writeSeq(key, key.length - 8, seq)
    return key
  }
}

/** The seq a record's key ends with. */
export function seqOf (key: Uint8Array): number {
  return readSeq(key, key.length - 8)
}

export function seqBytes (seq: number): Uint8Array {
  const bytes = new Uint8Array(8)
  writeSeq(bytes, 0, seq)
  return bytes
}

export function readSeq (bytes: Uint8Array, at: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, 8)
  return view.getUint32(0) * 2 ** 32 + view.getUint32(4)
}

function writeSeq (bytes: Uint8Array, at: number, seq: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, 8)
  view.setUint32(0, Math.floor(seq / 2 ** 32))
  view.setUint32(4, seq % 2 ** 32)
}

function tagged (tag: number, name: Uint8Array): Uint8Array {
  const key = new Uint8Array(1 + name.length)
  key[0] = tag
  key.set(name, 1)
  return key
}

const decoder = new TextDecoder()
