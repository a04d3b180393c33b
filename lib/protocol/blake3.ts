import { blake3 } from '@noble/hashes/blake3.js'
import { createBLAKE3, type IHasher } from 'hash-wasm'
import { equalBytes } from './bytes.js'

/** BLAKE3-256, the one hash of the protocol. */
export interface Blake3 {
  hash (data: Uint8Array): Uint8Array
  /** Keyed BLAKE3; the returned function hashes under that 32-byte key. */
  keyed (key: Uint8Array): (data: Uint8Array) => Uint8Array
}

export const HASH_LENGTH = 32

/** The plain JavaScript implementation: slower (0.2 M/s against 2.3 M/s on 300 bytes), needs no WebAssembly, and is the second opinion in tests. */
export const nobleBlake3: Blake3 = {
  hash: (data) => blake3(data),
  keyed (key) {
    const own = Uint8Array.from(key)
    return (data) => blake3(data, { key: own })
  }
}

function reuse (hasher: IHasher): (data: Uint8Array) => Uint8Array {
  return (data) => hasher.init().update(data).digest('binary')
}

/**
 * Loads the WebAssembly implementation. Where WebAssembly may not be compiled (a strict Content-Security-Policy) the plain one is
 * returned. `keys` are the keys that will be asked for: their hashers are made here, because making one is asynchronous.
 */
export async function loadBlake3 (keys: readonly Uint8Array[] = []): Promise<Blake3> {
  try {
    const plain = reuse(await createBLAKE3())
    const prepared = await Promise.all(keys.map(async (key) => ({ key: Uint8Array.from(key), hash: reuse(await createBLAKE3(256, Uint8Array.from(key))) })))
    return {
      hash: plain,
      keyed: (key) => prepared.find((entry) => equalBytes(entry.key, key))?.hash ?? nobleBlake3.keyed(key)
    }
  } catch {
    return nobleBlake3
  }
}
