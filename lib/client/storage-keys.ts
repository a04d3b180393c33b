import { concat } from '../protocol/bytes.js'
import { utf8Encode } from '../protocol/postcard.js'

/**
 * Keys of the database. Every key of a room starts with the room's name and its length, so that no name is the beginning of another,
 * and goes on with what it is:
 * 1 a chunk: number of the writer's turn (4 bytes), its random name (8), sequence number (4), length of the pack (4) → pack
 * 2 a pending node: id → encoded node
 * 3 a blob: hash → bytes
 * 4 a blob no server has: hash → nothing
 * 5 a seed: 0 for the identity, 1 and 8 random bytes for those of further tabs → seed
 * 6 what was imported from an earlier client → nothing
 * All numbers are big-endian: the order of the keys is the order of the chunks.
 */
const KIND = { chunk: 1, pending: 2, blob: 3, unsent: 4, seed: 5, imported: 6 } as const

/** Not the beginning of any room's keys, whose names are shorter. */
export const FORMAT_KEY = Uint8Array.of(255, 255)
const MAX_NAME = 1024

export interface Range { gte: Uint8Array, lt: Uint8Array }

export interface RoomKeys {
  all: Range
  chunks: Range
  pending: Range
  unsent: Range
  seeds: Range
  spares: Range
  identity: Uint8Array
  imported: Uint8Array
  chunk (place: Uint8Array, length: number): Uint8Array
  pendingNode (id: Uint8Array): Uint8Array
  blob (hash: Uint8Array): Uint8Array
  unsentBlob (hash: Uint8Array): Uint8Array
  spare (name: Uint8Array): Uint8Array
  /** What follows the kind. */
  tail (key: Uint8Array): Uint8Array
}

/** Bytes of a chunk's place: turn, name and sequence number. */
export const PLACE_LENGTH = 16

/** Throws RangeError for a room whose name is too long. */
export function roomKeys (room: string): RoomKeys {
  const name = utf8Encode(room)
  if (name.length > MAX_NAME) throw new RangeError(`the name of a room has at most ${MAX_NAME} bytes`)
  const prefix = concat([uint32(name.length).subarray(2), name])
  const key = (kind: number, ...parts: Uint8Array[]): Uint8Array => concat([prefix, Uint8Array.of(kind), ...parts])
  const range = (kind: number): Range => ({ gte: key(kind), lt: key(kind + 1) })
  const seed = (kind: number): Uint8Array => key(KIND.seed, Uint8Array.of(kind))
  return {
    all: { gte: prefix, lt: key(255) },
    chunks: range(KIND.chunk),
    pending: range(KIND.pending),
    unsent: range(KIND.unsent),
    seeds: range(KIND.seed),
    spares: { gte: seed(1), lt: seed(2) },
    identity: seed(0),
    imported: key(KIND.imported),
    chunk: (place, length) => key(KIND.chunk, place, uint32(length)),
    pendingNode: (id) => key(KIND.pending, id),
    blob: (hash) => key(KIND.blob, hash),
    unsentBlob: (hash) => key(KIND.unsent, hash),
    spare: (name) => key(KIND.seed, Uint8Array.of(1), name),
    tail: (bytes) => bytes.subarray(prefix.length + 1)
  }
}

export function uint32 (n: number): Uint8Array {
  return Uint8Array.of(n >>> 24, n >>> 16, n >>> 8, n)
}

export function readUint32 (bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]) >>> 0
}
