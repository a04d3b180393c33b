/**
 * The contract of a blob store: opaque bytes named by the BLAKE3 of their contents (spec/storage-and-operations.md §2). Every method
 * is required. "Not there" is null; "cannot answer" is thrown as `store.failed`, so that nobody mistakes one for the other.
 * `testing/blob-store-suite.ts` is the proof an adapter has to pass.
 */
export interface BlobStore {
  readonly manifest: BlobStoreManifest
  open (): Promise<void>
  close (): Promise<void>
  check (): Promise<void>
  /** Size in bytes, from the store's own records; reads no content. */
  stat (hash: string): Promise<{ size: number } | null>
  /**
   * The content, or an inclusive range of it. Whole reads are verified: content that does not hash to its name is reported as null
   * (and logged by the store), or errors the stream when that is found out only at the end.
   */
  get (hash: string, range?: ByteRange): Promise<BlobContent | null>
  /**
   * Stores what `body` yields under `hash`. Nothing is visible until it is complete, verified and durable. Throws
   * `reject.blob_hash_mismatch`, `reject.blob_too_large`, `reject.blob_write_failed` or `reject.blob_unavailable` and then leaves
   * nothing behind. Bytes that are already there and sound are not written again; unsound ones are replaced.
   */
  put (hash: string, body: AsyncIterable<Uint8Array>, limits: { maxBytes: number }): Promise<'created' | 'exists' | 'healed'>
  /** True when something was removed. */
  delete (hash: string): Promise<boolean>
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

export interface BlobContent { size: number, stream: AsyncIterable<Uint8Array> }

export interface PresignRequest { room: string, size: number, contentType?: string }
