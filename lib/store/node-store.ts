import type { RoomState } from './room-state.js'

export type { RoomState, StoredPolicy } from './room-state.js'

/**
 * The contract of a node store: where the nodes of every room are kept, in the order they were accepted
 * (spec/storage-and-operations.md §1). Every method is required, so that a wrapper cannot forget one; failures are thrown, never
 * answered with emptiness: `store.closed` before `open` and after `close`, `store.failed` otherwise, TypeError or RangeError for
 * arguments nobody could store (`room-id.ts` says what a room id is). `testing/node-store-suite.ts` is the proof an adapter has to
 * pass.
 */
export interface NodeStore {
  readonly manifest: NodeStoreManifest
  /** Prepares the store; idempotent; throws `store.locked`, `store.format_newer`, `store.format_foreign` or `store.failed`. */
  open (): Promise<void>
  /** Finishes what was begun and releases everything the store opened itself. Idempotent. */
  close (): Promise<void>
  /** Resolves when the store can read and write now, throws otherwise. */
  check (): Promise<void>
  /**
   * The nodes of a room with `seq > after`, in ascending order, as chunks of whole nodes of at most `CHUNK_BYTES` (one larger node
   * is a chunk of its own): those stored when the first chunk was asked for, and perhaps later ones. An unknown room yields
   * nothing. What cannot be read back is skipped and reported through `damaged` with its first seq.
   */
  load (room: string, after: number, damaged: (seq: number, cause: unknown) => void): AsyncIterable<StoredChunk>
  /**
   * Appends to any number of rooms in one durable commit: either everything is kept or, when it throws, nothing was acknowledged.
   * When the promise resolves the nodes of a durable store survive `kill -9` and a power cut. Calls may overlap; each is one commit.
   * A commit that threw `store.failed` may nevertheless turn out to be kept: the same nodes sent again with the same `after` are
   * then found and dropped, and nodes never sent again are part of the room like those of another instance (see `Appended`).
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

/** Bytes of nodes in a chunk: large enough to be cheap, small enough that indexing one does not hold up the event loop. */
export const CHUNK_BYTES = 1024 * 1024

/**
 * Whole nodes in their canonical encoding, which may be views of one buffer and are not to be written to; `last` is the seq up to
 * which the room is loaded: that of the last node, or of something damaged behind it.
 */
export interface StoredChunk { nodes: Uint8Array[], last: number }

/**
 * New nodes of one room, parents first. `after` is the highest seq the caller has seen: nothing in `nodes` is stored at or below
 * it. A store whose room has moved on meanwhile drops what arrived there in between; this is how an append is idempotent. An
 * `after` beyond the end of the room throws `store.failed`. No nodes are no commit: `last` is then the room's seq as it stands.
 */
export interface Append { room: string, after: number, nodes: readonly Uint8Array[] }

/**
 * `last` is the room's seq after the commit; `kept` the positions in `Append.nodes` that were new, in order. When `last` exceeds
 * `after + kept.length` the room holds nodes the caller has not seen: they are what `load(room, after)` yields beyond its own.
 */
export interface Appended { room: string, last: number, kept: number[] }
