import type { Blake3 } from '../protocol/blake3.js'
import { plainBlake3 } from '../protocol/blake3-plain.js'

/** BLAKE3 that is there at once, in plain JavaScript, and goes on in WebAssembly, ten times as fast, once that is loaded. */
export interface ClientHash extends Blake3 {
  /** Resolves when it is as fast as it gets here; large inputs should wait for it. */
  readonly ready: Promise<void>
}

/** `load` fetches the faster one, by default from a chunk of its own; when that fails the plain one goes on. */
export function createHash (load: () => Promise<Blake3> = loadWasm): ClientHash {
  let best = plainBlake3
  return {
    hash: (data) => best.hash(data),
    keyed: (key) => best.keyed(key),
    // Not to be had without a connection, or not allowed on this page: nothing is lost but speed.
    ready: load().then((loaded) => { best = loaded }, () => {})
  }
}

async function loadWasm (): Promise<Blake3> {
  const { loadBlake3 } = await import('../protocol/blake3-wasm.js')
  return await loadBlake3()
}
