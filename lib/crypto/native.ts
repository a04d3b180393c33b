import { createRequire } from 'node:module'
import { type KeyCheck, isPublicKey, keyFor } from './ed25519.js'

type Verify = (signature: Uint8Array, message: Uint8Array, author: Uint8Array) => boolean

/**
 * What every verifier is asked before it is trusted: under our rule for keys and R these are where verifiers part. One that multiplies
 * by the cofactor takes the third and the fourth; one that refuses keys with a torsion component refuses the last. All sign 32 bytes 0x6d.
 */
const QUESTIONS: readonly (readonly [author: string, signature: string, valid: boolean])[] = [
  [
    'ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c',
    '5f6c5226ed598ee66339cc91fd5abe48e018bf01bf63e1c03c7c7f2bdc2df9b073954e55c80e4b1a20ea07181d09def3a9a777198b4172c3fef9d8ecf0ebe702',
    true
  ],
  [
    'ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c',
    '5f6c5226ed598ee66339cc91fd5abe48e018bf01bf63e1c03c7c7f2bdc2df9b0606944b2e2715d72f686ffbafb02bd08aaa777198b4172c3fef9d8ecf0ebe712',
    false
  ],
  [
    'ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c',
    '40a4cf5c611d737a2f1c6fcca84d9cabfed80987f186a5a6c57e629bff1af27fdc1d0cd73631a744fa70a04db585d66352845c57ea942fdf940c2e9119a29303',
    false
  ],
  [
    '1f4f580e73ac208f06760190e9edc6f5916775dabd9c1cdca393175c2d6d1083',
    'ef4f62f8479733ad879cfaced3c89a9c39dd4fc795ef2efa1c3eafe4d729a0814c27052fcdd80f9694a0691884f2100bfd9acaea9d0960faa329451792957602',
    false
  ],
  [
    '1f4f580e73ac208f06760190e9edc6f5916775dabd9c1cdca393175c2d6d1083',
    'bbf07820f0021019d0c2d8dcfcbce16c86020fe91a143193eab3f7ce33ec24f3eca3d20cf6680bf917f8932a372694518e8e4525d0707c4922d850c71b96df0c',
    true
  ]
]

/**
 * How a verifier checks keys: with libsodium when the optional package `sodium-native` is installed (1.7 times the platform's rate)
 * and answers every question as the platform does, else with the platform. A version that parts from the rule is not used: replicas
 * that disagree on one node split a room for ever.
 */
export function fastestKeys (load: (name: string) => unknown = createRequire(import.meta.url)): (author: Uint8Array) => KeyCheck | null {
  const native = loadSodium(load)
  if (native === null || !QUESTIONS.every((question) => answers(native, question))) return keyFor
  return (author) => {
    if (!isPublicKey(author)) return null
    const key = author.slice()
    return (message, signature) => native(signature, message, key)
  }
}

function loadSodium (load: (name: string) => unknown): Verify | null {
  try {
    const loaded = load('sodium-native') as { crypto_sign_verify_detached?: Verify }
    return loaded.crypto_sign_verify_detached ?? null
  } catch {
    // Not installed, or no binary for this platform: optional.
    return null
  }
}

function answers (native: Verify, [author, signature, valid]: typeof QUESTIONS[number]): boolean {
  return native(Buffer.from(signature, 'hex'), new Uint8Array(32).fill(0x6d), Buffer.from(author, 'hex')) === valid
}
