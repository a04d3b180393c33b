/**
 * The seam through which signatures come (design §4, Crypto). The server fills it with `node:crypto` and worker threads, a browser
 * with WebCrypto; the pure layers know only this.
 */
export interface SignatureJob {
  /** Ed25519 public key, 32 bytes. */
  author: Uint8Array
  /** The 32 bytes that were signed: a node id. */
  id: Uint8Array
  signature: Uint8Array
}

/**
 * Verifies many signatures at once. The answers are in the order of the jobs; the promise never rejects for a bad signature. The bytes
 * of the jobs must stay as they are until it resolves.
 */
export interface Verifier {
  verify (jobs: readonly SignatureJob[]): Promise<boolean[]>
  close (): Promise<void>
}

/** Verifies one signature over a message of any length: room and operator tokens. */
export type VerifyMessage = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean | Promise<boolean>

export interface Signer {
  readonly publicKey: Uint8Array
  sign (message: Uint8Array): Uint8Array
}
