import { type KeyObject, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import type { Signer } from '../protocol/crypto.js'
import { concat } from '../protocol/bytes.js'
import { fixed } from '../protocol/op.js'
import { toHex } from '../protocol/hex.js'

const PKCS8 = Uint8Array.from([0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20])
const SPKI = Uint8Array.from([0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00])

/** The signer of a peer, from its Ed25519 seed of 32 bytes. */
export function seedSigner (seed: Uint8Array): Signer {
  const key = createPrivateKey({ key: Buffer.from(concat([PKCS8, fixed(seed, 32, 'a seed')])), format: 'der', type: 'pkcs8' })
  const publicKey = Uint8Array.from(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(SPKI.length))
  return { publicKey, sign: (message) => Uint8Array.from(sign(null, message, key)) }
}

export type VerifySignature = (author: Uint8Array, id: Uint8Array, signature: Uint8Array) => boolean

/** A verifier for test peers: one signature at a time, key objects kept. A zero signature never verifies. */
export function createVerify (): VerifySignature {
  const keys = new Map<string, KeyObject>()
  return (author, id, signature) => {
    const name = toHex(author)
    let key = keys.get(name)
    if (key === undefined) {
      key = createPublicKey({ key: Buffer.from(concat([SPKI, author])), format: 'der', type: 'spki' })
      keys.set(name, key)
    }
    return verify(null, id, key, signature)
  }
}
