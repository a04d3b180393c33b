/** Where a client keeps what must survive a reload (spec/client.md §10.3). */
export interface Storage {
  /** Throws `client.storage` when it cannot be opened. */
  open (room: string): Promise<RoomStorage>
}

/** Nodes that belong together in one atomic, durable step. */
export interface StorageBatch {
  /** Encoded nodes written here that no server has acknowledged yet. */
  pending?: readonly Uint8Array[]
  /** Encoded nodes that were received or acknowledged; they are no longer pending. */
  confirmed?: readonly Uint8Array[]
  /** Ids of nodes that are no longer pending because they were refused. */
  dropped?: readonly Uint8Array[]
}

/**
 * What is kept of one room. Every method throws `client.storage` when the storage fails or is closed; what was kept before stays as it
 * was, and the same call may succeed later. Bytes that are handed over must stay as they are until the promise resolves.
 *
 * The order of a start is `identity`, `pending`, `load`: a seed is only safe to write with when all that was written with it is read
 * after it was claimed, and a node that another tab confirms meanwhile is then found twice instead of not at all.
 */
export interface RoomStorage {
  /**
   * Packs of confirmed nodes, at most 256 KiB each unless one node is larger, parents first. A node that two tabs kept comes twice.
   */
  load (): AsyncIterable<Uint8Array>
  /**
   * Encoded nodes that wait for a server, written in any tab, ascending by lamport value and id, so parents before children. One that
   * another tab has confirmed since may also come in `load`; drop it then.
   */
  pending (): Promise<Uint8Array[]>
  /**
   * Keeps all of the batch or nothing. When it resolves a crash of the process cannot undo it, nor can one of the machine if there
   * were pending nodes. Throws RangeError for what cannot be a node or an id.
   */
  write (batch: StorageBatch): Promise<void>
  /**
   * The seed of the user and the seed to write with, 32 bytes each. They differ in a second tab of the same identity: a chain of nodes
   * has one writer (spec/client.md §7.1). The writer's seed is held until `close`; the first call decides. A seed that is given is not
   * kept, and nothing here knows whether it writes in other places. Throws RangeError for one that is not 32 bytes long.
   */
  identity (given?: Uint8Array): Promise<{ identity: Uint8Array, writer: Uint8Array }>
  /** Bytes of a blob, by its hash in hexadecimal, or null. Throws RangeError for what is no hash, as do the next two. */
  blob (hash: string): Promise<Uint8Array | null>
  putBlob (hash: string, bytes: Uint8Array, uploaded: boolean): Promise<void>
  blobUploaded (hash: string): Promise<void>
  /** Hashes of the blobs that no server has. */
  unsentBlobs (): Promise<string[]>
  /** Forgets everything of the room, its identity included. */
  clear (): Promise<void>
  close (): Promise<void>
}
