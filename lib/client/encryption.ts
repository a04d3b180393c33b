import { gcm } from '@noble/ciphers/aes.js'
import { expand, extract, hkdf } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { concat } from '../protocol/bytes.js'
import { count } from '../protocol/node.js'
import { type Op, readOp, writeOp } from '../protocol/op.js'
import { cursor, take, utf8Encode, writeVarint, writer } from '../protocol/postcard.js'

/** The key under which a node carries its encrypted operations. */
export const ENCRYPTED_KEY = '\u0000e2ee'

const SEED_LENGTH = 32
const KEY_LENGTH = 32
const NONCE_LENGTH = 12
/** Two indices and a key's length: no operation is shorter. */
const LEAST_OP = 3

/**
 * End-to-end encryption of one room (spec/wire-format.md §14): whoever has the room's seed reads and writes, the server keeps and
 * relays without reading, and checks ids and signatures all the same. Keys of maps, lists and texts are hidden with the values.
 */
export interface RoomCipher {
  /**
   * The one operation that carries `ops` in the node of this author and lamport value. A pair of author and lamport must never seal
   * two different contents: they would share a nonce.
   */
  seal (ops: readonly Op[], author: Uint8Array, lamport: number): Op[]
  /** The readable operations of a node: those it carries in the clear as they are, and null when the room's key does not open it. */
  open (ops: readonly Op[], author: Uint8Array, lamport: number): Op[] | null
}

/** The cipher of the room with this 32-byte seed, the one that also signs its tokens. Throws RangeError for any other length. */
export function createRoomCipher (roomSeed: Uint8Array): RoomCipher {
  if (roomSeed.length !== SEED_LENGTH) throw new RangeError(`a room seed has ${SEED_LENGTH} bytes`)
  const key = hkdf(sha256, roomSeed, undefined, utf8Encode('nodalmerge-e2ee-v1'), KEY_LENGTH)
  const nonceKey = extract(sha256, key)
  const label = utf8Encode('nodalmerge-nonce-v1')

  return {
    seal (ops, author, lamport) {
      const nonce = expand(sha256, nonceKey, concat([label, author, littleEndian(lamport)]), NONCE_LENGTH)
      return [{ type: 'map-set', key: ENCRYPTED_KEY, value: concat([nonce, gcm(key, nonce).encrypt(encodeOps(ops))]) }]
    },
    open (ops) {
      const payload = payloadOf(ops)
      if (payload === null) return [...ops]
      try {
        return decodeOps(gcm(key, payload.subarray(0, NONCE_LENGTH)).decrypt(payload.subarray(NONCE_LENGTH)))
      } catch {
        return null
      }
    }
  }
}

/** The encrypted content of a node, or null for a node in the clear: encrypted is what has exactly one operation, a set of that key. */
function payloadOf (ops: readonly Op[]): Uint8Array | null {
  const [op] = ops
  return ops.length === 1 && op.type === 'map-set' && op.key === ENCRYPTED_KEY ? op.value : null
}

function encodeOps (ops: readonly Op[]): Uint8Array {
  const w = writer(64 * (1 + ops.length))
  writeVarint(w, ops.length)
  for (const op of ops) writeOp(w, op)
  return take(w)
}

function decodeOps (bytes: Uint8Array): Op[] {
  const c = cursor(bytes)
  return Array.from({ length: count(c, LEAST_OP) }, () => readOp(c))
}

function littleEndian (lamport: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(lamport), true)
  return bytes
}
