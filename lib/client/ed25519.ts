import type { SignatureJob } from '../protocol/crypto.js'

export interface ClientSigner {
  readonly publicKey: Uint8Array
  sign (message: Uint8Array): Promise<Uint8Array>
}

/** Ed25519 for a client: the platform's where it has it and keeps to the rule, our own arithmetic elsewhere. */
export interface Ed25519 {
  /** Signs with a 32-byte seed. Throws RangeError for any other length. */
  signer (seed: Uint8Array): Promise<ClientSigner>
  /** The answers are in the order of the jobs; the promise never rejects for a bad signature. */
  verify (jobs: readonly SignatureJob[]): Promise<boolean[]>
}

export declare function loadEd25519 (subtle?: unknown): Promise<Ed25519>
