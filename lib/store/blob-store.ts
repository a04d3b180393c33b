import { NodalmergeError } from '../errors.js'

/**
 * The contract of a blob store: opaque bytes named by the BLAKE3 of their contents (spec/storage-and-operations.md §2). Every method
 * is required. "Not there" is null; "cannot answer" is thrown as `store.failed`, so that nobody mistakes one for the other. A hash is
 * 64 lower-case hexadecimal digits; every method throws `reject.blob_hash_invalid` for anything else.
 * `testing/blob-store-suite.ts` is the proof an adapter has to pass.
 */
export interface BlobStore {
  readonly manifest: BlobStoreManifest
  open (): Promise<void>
  close (): Promise<void>
  check (): Promise<void>
  /**
   * Whether the blob is there, from the store's own records; reads no content. `size` is its length in bytes, or null when only
   * decoding would tell (a compressed form that nobody has read yet).
   */
  stat (hash: string): Promise<{ size: number | null } | null>
  /**
   * The content, or an inclusive range of it. Whole reads are verified: content that does not hash to its name is reported as null
   * (and logged by the store), or errors the stream when that is found out only at the end, and then before the last bytes were
   * yielded. A range is taken from content that was verified before. The stream holds nothing open until it is iterated, so one that
   * is not wanted may be dropped; its chunks must not be written to.
   */
  get (hash: string, range?: ByteRange): Promise<BlobContent | null>
  /**
   * The stored zstd frame as it is, `size` being the length of the frame; null when the blob is absent or not stored so. Not
   * verified: the hash is that of the plain bytes, and whoever decodes them checks it (spec/storage-and-operations.md §3.3).
   */
  encoded (hash: string): Promise<BlobContent | null>
  /**
   * Stores what `body` yields under `hash`. Nothing is visible until it is complete, verified and durable. Throws
   * `reject.blob_hash_mismatch`, `reject.blob_too_large`, `reject.blob_write_failed` or `reject.blob_unavailable`, or what `body`
   * threw, and then leaves nothing behind. Bytes that are already there and sound are not written again; unsound ones are replaced.
   */
  put (hash: string, body: AsyncIterable<Uint8Array>, limits: { maxBytes: number }): Promise<'created' | 'exists' | 'healed'>
  /** True when something was removed. */
  delete (hash: string): Promise<boolean>
  /** Every hash once, in no particular order. What is put or deleted meanwhile may or may not appear. */
  list (): AsyncIterable<string>
  /** A URL under which a client may fetch or put the blob directly; null when the store cannot or declines. */
  presign (op: 'get' | 'put', hash: string, about: PresignRequest): Promise<{ url: string, expiresAt: Date } | null>
  /** Confirms an object put through a presigned URL. */
  verifyUploaded (hash: string): Promise<{ ok: true, size: number } | { ok: false, reason: string }>
}

export interface BlobStoreManifest {
  readonly name: string
  readonly durable: boolean
  /** `presign` may yield URLs. Gates `supports_direct_blob_io` (spec/session-protocol.md §1.6). */
  readonly presign: boolean
}

/** First and last byte, both included, `0 <= first <= last`. The end is clamped to the content. */
export interface ByteRange { first: number, last: number }

/** `size` is the length of the whole content in bytes, also when `stream` yields only a range of it. */
export interface BlobContent { size: number, stream: AsyncIterable<Uint8Array> }

/** `size` in bytes; 0 when it is not known (op `get`). */
export interface PresignRequest { room: string, size: number, contentType?: string }

/** Told about what an operator should see: corrupt content, entries a migration could not move. Pino's `warn` fits. */
export interface BlobLog { warn (details: object, message: string): void }

const HASH = /^[0-9a-f]{64}$/

/** Whether `text` is the canonical name of a blob. No normalisation (spec/storage-and-operations.md §3.2). */
export function isBlobHash (text: string): boolean {
  return HASH.test(text)
}

/** Guards a store's methods: a name that is not canonical must never become part of a path or a key. */
export function requireBlobHash (hash: string): void {
  if (!isBlobHash(hash)) throw new NodalmergeError('reject.blob_hash_invalid')
}
