import type { SignatureJob } from '../protocol/crypto.js'
import { platformEd25519, platformSubtle, platformVerify, type Subtle } from './ed25519-platform.js'
import { signsRight, verifiesRight } from './ed25519-probe.js'

/** Signs under one key; the same message has the same signature each time (RFC 8032). */
export interface ClientSigner {
  readonly publicKey: Uint8Array
  sign (message: Uint8Array): Promise<Uint8Array>
}

/**
 * Ed25519 for a client. What it accepts is what the server accepts, to the bit: keys and R canonical and not of small order, S below
 * the group order, and the equation without the cofactor. Two replicas that disagree on one signature split a room for ever.
 */
export interface Ed25519 {
  /** Signs with a 32-byte seed. Throws RangeError for any other length. */
  signer (seed: Uint8Array): Promise<ClientSigner>
  /** The answers are in the order of the jobs; the promise never rejects for a bad signature. */
  verify (jobs: readonly SignatureJob[]): Promise<boolean[]>
}

/**
 * The platform's Ed25519 where a probe finds that it has it and keeps to the rule; for what it lacks (pages that are not on https,
 * older browsers, signatures that come out different each time) plain arithmetic, which is loaded only then.
 */
export async function loadEd25519 (subtle: Subtle | null = platformSubtle()): Promise<Ed25519> {
  let loaded: Promise<Ed25519> | null = null
  const plain = (): Promise<Ed25519> => {
    loaded ??= import('./ed25519-plain.js').then(({ plainEd25519 }) => plainEd25519())
    return loaded
  }
  if (subtle === null) return await plain()
  const platform = platformEd25519(subtle)
  const [signs, verifies] = await Promise.all([signsRight(platform), verifiesRight(platform)])
  return {
    signer: signs ? platform.signer : (await plain()).signer,
    verify: verifies ? platformVerify(platform, plain) : (await plain()).verify
  }
}
