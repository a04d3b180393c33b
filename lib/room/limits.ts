import { z } from 'zod'

const count = (standard: number) => z.number().int().nonnegative().default(standard)
const atLeastOne = (standard: number) => z.number().int().positive().default(standard)
const MIB = 1 << 20

/**
 * Every bound of the server, by name and unit. A rate of 0 switches that rate off. Sizes are bytes, times are milliseconds.
 * Defaults follow spec/session-protocol.md §6 where it recommends one.
 */
export const limitsSchema = z.strictObject({
  /** Milliseconds from the upgrade to the first frame, and for loading the room after it. */
  helloTimeoutMs: atLeastOne(15_000),
  /** Size of a hello frame. */
  helloBytes: atLeastOne(MIB),
  /** Size of an inbound frame; original clients push their whole graph in one. */
  messageBytes: atLeastOne(64 * MIB),
  /** Size of a room id in UTF-8. */
  roomIdBytes: atLeastOne(256),
  /** Sessions of one room; 0 = no bound. */
  sessionsPerRoom: count(0),

  /** New nodes a peer may push per second, bursting to one second's worth; over it the session is closed with 4008. */
  nodesPerSecond: count(1_000),
  /** Bytes of new nodes a peer may push per second, likewise. */
  bytesPerSecond: count(4 * MIB),
  /** New nodes allowed on top of the rate for the push that follows `welcome`. */
  reconcileNodes: count(50_000),
  /** Bytes allowed on top of the rate for that push. */
  reconcileBytes: count(64 * MIB),
  /** Milliseconds after `welcome` in which that allowance holds. */
  reconcileWindowMs: atLeastOne(30_000),
  /** Milliseconds between two such allowances of one peer. */
  reconcileEveryMs: atLeastOne(60_000),
  /** Frames other than packs a session may send per second; over it they are refused. */
  messagesPerSecond: count(200),
  /** Of those, the ones that make the server read: request, mst-request, mst-done, blob-request. */
  readsPerSecond: count(20),
  /** Blob bytes a session may upload per second over the socket, bursting to one frame's worth. */
  blobBytesPerSecond: count(16 * MIB),

  /** Packs of one session between arrival and acknowledgement before its socket is paused. */
  packsInFlight: atLeastOne(256),
  /** Size of one session's frames waiting for their turn before its socket is paused. */
  inboxBytes: atLeastOne(8 * MIB),
  /** Broadcasts waiting for a slow reader before it is closed with 4001. */
  outboxFrames: atLeastOne(512),
  /** Size of the frames waiting for a slow reader before it is closed with 4001. */
  outboxBytes: atLeastOne(32 * MIB),
  /** Milliseconds a peer may take for one write before it is closed with 1011. */
  sendTimeoutMs: atLeastOne(5_000),
  /** Size of a catch-up or relay frame's nodes in base64; a larger single node has a frame of its own. */
  frameBytes: atLeastOne(MIB),
  /** Size of one commit across rooms. */
  commitBytes: atLeastOne(4 * MIB),

  /** Nodes of one room that wait for a parent. */
  orphanNodes: count(1_000),
  /** Size of the nodes of one room that wait for a parent. */
  orphanBytes: count(8 * MIB),
  /** Milliseconds a node waits for a parent. */
  orphanMs: atLeastOne(60_000),

  /** Size of one blob over the socket. */
  blobSocketBytes: atLeastOne(16 * MIB),
  /** Size of one blob over HTTP. */
  blobHttpBytes: atLeastOne(64 * MIB),
  /** Hashes answered of one blob-request. */
  blobRequestHashes: atLeastOne(1_024),
  /** Size of the blobs of one blob-pack frame. */
  blobPackBytes: atLeastOne(8 * MIB),
  /** Size of one presence value as JSON. */
  presenceBytes: atLeastOne(64 * 1024),

  /** Milliseconds between pings; a session that misses two is dropped. */
  pingMs: atLeastOne(25_000),
  /** Milliseconds without a session before a room leaves memory, with a durable store; 0 = never. */
  idleMs: count(300_000)
})

export type Limits = z.output<typeof limitsSchema>
