/**
 * The contract of a node store: where the nodes of every room are kept, in the order they were accepted
 * (spec/storage-and-operations.md §1). Every method is required, so that a wrapper cannot forget one; failures are thrown, never
 * answered with emptiness. `testing/node-store-suite.ts` is the proof an adapter has to pass.
 */
export interface NodeStore {
  readonly manifest: NodeStoreManifest
  /** Prepares the store; throws `store.locked`, `store.format_newer`, `store.format_foreign` or `store.failed`. */
  open (): Promise<void>
  /** Finishes what was begun and releases everything the store opened itself. Idempotent. */
  close (): Promise<void>
  /** Resolves when the store can read and write now, throws otherwise. */
  check (): Promise<void>
  /**
   * The nodes of a room with `seq > after`, in ascending order, as chunks of whole nodes of at most about 1 MiB. An unknown room
   * yields nothing. A record that cannot be read back is skipped and reported through `damaged`.
   */
  load (room: string, after: number, damaged: (seq: number, cause: unknown) => void): AsyncIterable<StoredChunk>
  /**
   * Appends to any number of rooms in one durable commit: either everything is kept or, when it throws, nothing was acknowledged.
   * When the promise resolves the nodes survive `kill -9` (and, with `manifest.durable`, a power cut).
   */
  append (appends: readonly Append[]): Promise<Appended[]>
  /** Every room with at least one node or some state, resident or not. Throws rather than stopping early. */
  rooms (): AsyncIterable<{ room: string, seq: number }>
  /** The room's highest seq, or 0 for an unknown room. Not affected by other rooms. */
  version (room: string): Promise<number>
  /** The room's durable control state, or null when none was ever put. */
  state (room: string): Promise<RoomState | null>
  /** Replaces the room's control state, durably and atomically. */
  putState (room: string, state: RoomState): Promise<void>
}

export interface NodeStoreManifest {
  readonly name: string
  /** What was acknowledged survives the end of the process. Eviction of idle rooms needs it. */
  readonly durable: boolean
  /** Several processes may use the store at once. */
  readonly shared: boolean
}

/** Whole nodes in their canonical encoding, which may be views of one buffer; `last` is the seq of the last one. */
export interface StoredChunk { nodes: Uint8Array[], last: number }

/**
 * New nodes of one room, parents first. `after` is the highest seq the caller has seen: nothing in `nodes` is stored at or below
 * it. A store whose room has moved on meanwhile drops what arrived there in between; this is how an append is idempotent.
 */
export interface Append { room: string, after: number, nodes: readonly Uint8Array[] }

/** `last` is the room's seq after the commit; `kept` the positions in `Append.nodes` that were new, in order. */
export interface Appended { room: string, last: number, kept: number[] }

/** Room control state: the lock and the write policy with its timeline (spec/session-protocol.md §5.1, §5.2). */
export interface RoomState {
  /** Ed25519 room key in lower-case hexadecimal; null for an open room. */
  key: string | null
  /** The policy timeline; the last entry is in force. */
  timeline: { effectiveLamport: number, policy: StoredPolicy }[]
}

export interface StoredPolicy {
  rules: { pathGlob: string, canWrite: string[], canRead: string[], canDerive: string[] }[]
  default: 'allow' | 'deny'
}
