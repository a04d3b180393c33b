import { equalBytes } from '../protocol/bytes.js'
import { fromHex } from '../protocol/hex.js'
import type { PlatformEd25519 } from './ed25519-platform.js'

const bytes = (text: string): Uint8Array => fromHex(text, text.length / 2) as Uint8Array

const SEED = new Uint8Array(32).fill(7)
const MESSAGE = new Uint8Array(32).fill(0x6d)
const KEY = bytes('ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c')
const SIGNATURE = bytes('5f6c5226ed598ee66339cc91fd5abe48e018bf01bf63e1c03c7c7f2bdc2df9b073954e55c80e4b1a20ea07181d09def3a9a777198b4172c3fef9d8ecf0ebe702')

/** Signatures that hold only for a verifier that multiplies by the cofactor: a point of order 8 was added to R, or to the key. */
const TORN_R = bytes('40a4cf5c611d737a2f1c6fcca84d9cabfed80987f186a5a6c57e629bff1af27fdc1d0cd73631a744fa70a04db585d66352845c57ea942fdf940c2e9119a29303')
const TORN_KEY = bytes('1f4f580e73ac208f06760190e9edc6f5916775dabd9c1cdca393175c2d6d1083')
const TORN_KEY_SIGNATURE = bytes('ef4f62f8479733ad879cfaced3c89a9c39dd4fc795ef2efa1c3eafe4d729a0814c27052fcdd80f9694a0691884f2100bfd9acaea9d0960faa329451792957602')

const JOBS = [
  { author: KEY, id: MESSAGE, signature: SIGNATURE },
  { author: KEY, id: SEED, signature: SIGNATURE },
  { author: KEY, id: MESSAGE, signature: TORN_R },
  { author: TORN_KEY, id: MESSAGE, signature: TORN_KEY_SIGNATURE }
]

/** Whether it signs a known message as RFC 8032 says; a platform that lacks Ed25519 throws, which is a no. */
export async function signsRight ({ signer }: PlatformEd25519): Promise<boolean> {
  try {
    const { publicKey, sign } = await signer(SEED)
    return equalBytes(publicKey, KEY) && equalBytes(await sign(MESSAGE), SIGNATURE)
  } catch {
    return false
  }
}

/** Whether it takes an honest signature and refuses those on which verifiers are known to differ. */
export async function verifiesRight ({ check }: PlatformEd25519): Promise<boolean> {
  try {
    const [honest, ...others] = await Promise.all(JOBS.map(check))
    return honest && !others.includes(true)
  } catch {
    return false
  }
}
