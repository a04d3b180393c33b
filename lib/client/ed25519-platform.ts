import type { SignatureJob } from '../protocol/crypto.js'
import { fromBase64 } from '../protocol/base64.js'
import { concat } from '../protocol/bytes.js'
import { fromHex } from '../protocol/hex.js'
import type { ClientSigner, Ed25519 } from './ed25519.js'
import { checkSeed, wellFormed } from './ed25519-rule.js'
import { createRecent } from './recent.js'

/** What is used of WebCrypto's `SubtleCrypto`. */
export interface Subtle {
  importKey (format: 'raw' | 'pkcs8', bytes: Uint8Array, algorithm: 'Ed25519', extractable: boolean, usages: string[]): Promise<object>
  exportKey (format: 'jwk', key: object): Promise<{ x?: string }>
  sign (algorithm: 'Ed25519', key: object, message: Uint8Array): Promise<ArrayBuffer>
  verify (algorithm: 'Ed25519', key: object, signature: Uint8Array, message: Uint8Array): Promise<boolean>
}

/** DER header of a raw Ed25519 seed (RFC 8410). */
const PKCS8 = fromHex('302e020100300506032b657004220420', 16) as Uint8Array

/** Keys whose imported form is remembered. */
const REMEMBERED_KEYS = 4096
/** Verifications handed over at once: the pool that does them also serves storage and fetches. */
const IN_FLIGHT = 64

/** WebCrypto's `SubtleCrypto`, or null where there is none: it exists on https and localhost pages only. */
export function platformSubtle (): Subtle | null {
  return (globalThis as { crypto?: { subtle?: Subtle } }).crypto?.subtle ?? null
}

/** WebCrypto's Ed25519 as it is: without the rule's checks of form, and throwing where it does not know what to do. */
export interface PlatformEd25519 {
  signer (seed: Uint8Array): Promise<ClientSigner>
  check (job: SignatureJob): Promise<boolean>
}

export function platformEd25519 (subtle: Subtle): PlatformEd25519 {
  const keys = createRecent(REMEMBERED_KEYS, (author) => subtle.importKey('raw', Uint8Array.from(author), 'Ed25519', false, ['verify']))
  return {
    signer: (seed) => platformSigner(subtle, seed),
    check: async ({ author, id, signature }) => await subtle.verify('Ed25519', await keys.get(author), signature, id)
  }
}

/**
 * Verifies by the platform, below the rule's checks of form. What makes it throw instead of answering is left to `plain`, so that one
 * platform's strictness cannot make its replica disagree with others.
 */
export function platformVerify (platform: PlatformEd25519, plain: () => Promise<Ed25519>): Ed25519['verify'] {
  async function verifyOne (job: SignatureJob): Promise<boolean> {
    if (!wellFormed(job)) return false
    try {
      return await platform.check(job)
    } catch {
      const [valid] = await (await plain()).verify([job])
      return valid
    }
  }

  return async (jobs) => {
    const valid = new Array<boolean>(jobs.length)
    let next = 0
    const lane = async (): Promise<void> => {
      for (let i = next++; i < jobs.length; i = next++) valid[i] = await verifyOne(jobs[i])
    }
    await Promise.all(Array.from({ length: Math.min(IN_FLIGHT, jobs.length) }, lane))
    return valid
  }
}

async function platformSigner (subtle: Subtle, seed: Uint8Array): Promise<ClientSigner> {
  checkSeed(seed)
  const bytes = concat([PKCS8, seed])
  const { x = '' } = await subtle.exportKey('jwk', await subtle.importKey('pkcs8', bytes, 'Ed25519', true, ['sign']))
  const key = await subtle.importKey('pkcs8', bytes, 'Ed25519', false, ['sign'])
  return {
    publicKey: fromBase64(`${x.replaceAll('-', '+').replaceAll('_', '/')}=`),
    sign: async (message) => new Uint8Array(await subtle.sign('Ed25519', key, message))
  }
}
