import { utf8Encode } from '../protocol/postcard.js'

/** Bytes of UTF-8. Room ids travel in URLs and are part of every key; the stores' indexes take this much with room to spare. */
export const MAX_ROOM_ID = 1024

/**
 * Refuses a room id that some store could not tell from another one: it is a non-empty string of at most 1,024 bytes in UTF-8,
 * without lone surrogates and without U+0000. Throws TypeError or RangeError.
 */
export function checkRoom (room: string): void {
  if (typeof room !== 'string') throw new TypeError('a room id is a string')
  if (room.length === 0 || room.length > MAX_ROOM_ID) throw new RangeError(`a room id has 1 to ${MAX_ROOM_ID} bytes`)
  if (PLAIN.test(room)) return
  if (UNUSABLE.test(room)) throw new RangeError('a room id holds neither lone surrogates nor U+0000')
  if (utf8Encode(room).length > MAX_ROOM_ID) throw new RangeError(`a room id has 1 to ${MAX_ROOM_ID} bytes`)
}

const PLAIN = /^[\x20-\x7e]+$/
const UNUSABLE = /[\0\p{Surrogate}]/u
