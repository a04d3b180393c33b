import { ed25519 } from '@noble/curves/ed25519.js'
import { sha512 } from '@noble/hashes/sha2.js'
import type { SignatureJob } from '../protocol/crypto.js'
import { bytesAt, concat } from '../protocol/bytes.js'
import type { Ed25519 } from './ed25519.js'
import { checkSeed, wellFormed } from './ed25519-rule.js'
import { createRecent } from './recent.js'
import { breathe } from './breath.js'

const { Point } = ed25519
const { Fn } = Point

/** Keys whose point is remembered. */
const REMEMBERED_KEYS = 1024
/** Verifications between two breaths: one takes about a millisecond. */
const AT_ONCE = 4

/** Ed25519 in plain JavaScript, for platforms without it: about 1,000 verifications and 2,800 signatures a second. */
export function plainEd25519 (): Ed25519 {
  const keys = createRecent(REMEMBERED_KEYS, pointOf)

  function verifyOne (job: SignatureJob): boolean {
    if (!wellFormed(job)) return false
    const { point } = keys.get(job.author)
    return point !== null && holds(point, job)
  }

  return {
    async signer (seed) {
      checkSeed(seed)
      const own = Uint8Array.from(seed)
      return { publicKey: ed25519.getPublicKey(own), sign: async (message) => ed25519.sign(message, own) }
    },
    async verify (jobs) {
      const valid: boolean[] = []
      for (const [i, job] of jobs.entries()) {
        if (i > 0 && i % AT_ONCE === 0) await breathe()
        valid.push(verifyOne(job))
      }
      return valid
    }
  }
}

type Key = { point: InstanceType<typeof Point> | null }

function pointOf (author: Uint8Array): Key {
  try {
    return { point: Point.fromBytes(Uint8Array.from(author), false) }
  } catch {
    return { point: null }
  }
}

/** [S]B - [h]A = R, without the cofactor and compared as bytes. The library's own check multiplies by the cofactor. */
function holds (key: InstanceType<typeof Point>, { author, id, signature }: SignatureJob): boolean {
  const h = Fn.create(littleEndian(sha512(concat([signature.subarray(0, 32), author, id]))))
  const s = littleEndian(signature.subarray(32))
  const r = Point.BASE.multiplyUnsafe(s).subtract(key.multiplyUnsafe(h))
  return bytesAt(signature, 0, r.toBytes())
}

function littleEndian (bytes: Uint8Array): bigint {
  let n = 0n
  for (let i = bytes.length - 1; i >= 0; i--) n = n << 8n | BigInt(bytes[i])
  return n
}
