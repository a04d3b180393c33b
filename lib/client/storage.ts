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

/** What is kept of one room. Every method throws `client.storage` when the storage fails; what was kept before stays as it was. */
export interface RoomStorage {
  /** Packs of confirmed nodes, of each writer in the order in which it wrote them; a node that two tabs kept comes twice. */
  load (): AsyncIterable<Uint8Array>
  /** Encoded nodes that wait for a server, written in any tab, parents before children. */
  pending (): Promise<Uint8Array[]>
  /** Keeps all of the batch or nothing. */
  write (batch: StorageBatch): Promise<void>
  /**
   * The seed of the user and the seed to write with. They differ in a second tab of the same identity: a chain of nodes has one
   * writer (spec/wire-format.md §7.1). The writer's seed is held until `close`.
   */
  identity (given?: Uint8Array): Promise<{ identity: Uint8Array, writer: Uint8Array }>
  blob (hash: string): Promise<Uint8Array | null>
  putBlob (hash: string, bytes: Uint8Array, uploaded: boolean): Promise<void>
  blobUploaded (hash: string): Promise<void>
  /** Hashes of the blobs that no server has. */
  unsentBlobs (): Promise<string[]>
  /** Forgets everything of the room, its identity included. */
  clear (): Promise<void>
  close (): Promise<void>
}
