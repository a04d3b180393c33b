import { z } from 'zod'

const count = (standard: number) => z.number().int().nonnegative().default(standard)
const atLeastOne = (standard: number) => z.number().int().positive().default(standard)
const MIB = 1 << 20

/**
 * Every bound of the server, by name and unit. A rate of 0 switches that rate off. Sizes are bytes, times are milliseconds.
 * Defaults follow spec/session-protocol.md §6 where it recommends one.
 */
export const Limits = z.strictObject({
  /** From the upgrade to the first frame. */
  helloTimeoutMs: atLeastOne(15_000),
  /** One hello frame. */
  helloBytes: atLeastOne(MIB),
  /** One inbound frame; original clients push their whole graph in one (spec/client.md §5.13 S12). */
  messageBytes: atLeastOne(64 * MIB),
  /** A room id in UTF-8. */
  roomIdBytes: atLeastOne(256),
  /** Sessions of one room; 0 = no bound. */
  sessionsPerRoom: count(0),

  /** New nodes a peer may push per second, bursting to one second's worth. */
  nodesPerSecond: count(1_000),
  /** Bytes of new nodes a peer may push per second. */
  bytesPerSecond: count(4 * MIB),
  /** On top of the rates, for the push that follows `welcome` ... */
  reconcileNodes: count(50_000),
  reconcileBytes: count(64 * MIB),
  /** ... within this time ... */
  reconcileWindowMs: atLeastOne(30_000),
  /** ... and once per peer in this time. */
  reconcileEveryMs: atLeastOne(60_000),
  /** Frames other than packs a session may send per second. */
  messagesPerSecond: count(200),
  /** Of those, the ones that make the server read: request, mst-request, mst-done, blob-request. */
  readsPerSecond: count(20),
  /** Blob bytes a session may upload per second over the socket; bursts to one frame's worth. */
  blobBytesPerSecond: count(16 * MIB),

  /** Packs of one session between arrival and acknowledgement before its socket is paused. */
  packsInFlight: atLeastOne(256),
  /** Bytes of one session's frames waiting for their turn before its socket is paused. */
  inboxBytes: atLeastOne(8 * MIB),
  /** Broadcasts waiting for a slow reader before it is closed with 4001. */
  outboxFrames: atLeastOne(512),
  /** The same in bytes. */
  outboxBytes: atLeastOne(32 * MIB),
  /** One write that the peer does not take before it is closed with 1011. */
  sendTimeoutMs: atLeastOne(5_000),
  /** Catch-up and relay frames, in base64. */
  frameBytes: atLeastOne(MIB),
  /** Bytes of one commit across rooms. */
  commitBytes: atLeastOne(4 * MIB),

  /** Nodes of one room that wait for a parent. */
  orphanNodes: count(1_000),
  orphanBytes: count(8 * MIB),
  orphanMs: atLeastOne(60_000),

  /** One blob over the socket. */
  blobSocketBytes: atLeastOne(16 * MIB),
  /** One blob over HTTP. */
  blobHttpBytes: atLeastOne(64 * MIB),
  /** Hashes in one blob-request. */
  blobRequestHashes: atLeastOne(1_024),
  /** One blob-pack frame, in blob bytes. */
  blobPackBytes: atLeastOne(8 * MIB),
  /** One presence value, in JSON characters. */
  presenceBytes: atLeastOne(64 * 1024),

  /** Between pings; a session that misses two is dropped. */
  pingMs: atLeastOne(25_000),
  /** Idle time before a room leaves memory; 0 = never. Only with a durable store. */
  idleMs: count(300_000)
})

export type Limits = z.output<typeof Limits>
