import type { Op } from '../protocol/op.js'

/** End-to-end encryption of one room (spec/wire-format.md §14). Both ways are synchronous and leave keys readable. */
export interface RoomCipher {
  /** The same operations with encrypted values, as the node of this author and lamport value carries them. */
  seal (ops: readonly Op[], author: Uint8Array, lamport: number): Op[]
  /** The operations with readable values, or null when one was not made with this room's key. */
  open (ops: readonly Op[], author: Uint8Array, lamport: number): Op[] | null
}

export declare function createRoomCipher (roomSeed: Uint8Array): RoomCipher
