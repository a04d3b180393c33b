import { createBLAKE3, type IHasher } from 'hash-wasm'
import { type Blake3, nobleBlake3 } from './blake3.js'
import { equalBytes } from './bytes.js'

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
