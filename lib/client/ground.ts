import { NodalmergeError } from '../errors.js'
import type { DocFeed } from './doc-event.js'
import { type Ed25519, loadEd25519 } from './ed25519.js'
import { type ClientHash, createHash } from './hash.js'
import type { DocOptions } from './options.js'
import { type OpenSocket, loadSocket } from './socket.js'
import type { RoomStorage } from './storage.js'
import { passingRoom } from './storage-memory.js'

/** What a document stands on: what the platform has, where it is kept, and with which seeds. */
export interface Ground {
  readonly ed25519: Ed25519
  readonly blake3: ClientHash
  readonly open: OpenSocket
  readonly storage: RoomStorage
  /** What the status says of the storage. */
  kept: 'ok' | 'failed' | 'memory'
  readonly seeds: { identity: Uint8Array, writer: Uint8Array }
}

/** Storage that cannot be opened is reported and done without: an editor that cannot save is better than none. */
export async function layGround (options: DocOptions, feed: DocFeed): Promise<Ground> {
  const [ed25519, open] = await Promise.all([loadEd25519(), loadSocket(options.webSocket)])
  const tools = { ed25519, blake3: createHash(), open }
  const { storage, room, identity } = options
  if (storage === undefined) return { ...tools, ...await keptNowhere(room, identity), kept: 'memory' }
  try {
    const opened = await storage.open(room)
    return { ...tools, storage: opened, seeds: await seedsOf(opened, identity), kept: 'ok' }
  } catch (error) {
    return await withoutStorage(tools, options, feed, error)
  }
}

/**
 * The same ground when its storage has failed. What was written before with the user's seed cannot be read then, so another one writes.
 * Throws `error` when it is no fault of the storage.
 */
export async function withoutStorage (ground: Pick<Ground, 'ed25519' | 'blake3' | 'open'>, { room, identity }: DocOptions, feed: DocFeed, error: unknown): Promise<Ground> {
  if (error instanceof TypeError || error instanceof RangeError) throw error
  feed.tell('error', error instanceof NodalmergeError ? error : new NodalmergeError('client.storage', undefined, { cause: error }))
  const { storage, seeds } = await keptNowhere(room)
  const { ed25519, blake3, open } = ground
  return { ed25519, blake3, open, storage, seeds: { identity: identity ?? seeds.identity, writer: seeds.writer }, kept: 'failed' }
}

async function keptNowhere (room: string, identity?: Uint8Array): Promise<Pick<Ground, 'storage' | 'seeds'>> {
  const storage = await passingRoom(room)
  return { storage, seeds: await storage.identity(identity) }
}

async function seedsOf (storage: RoomStorage, identity: Uint8Array | undefined): Promise<Ground['seeds']> {
  try {
    return await storage.identity(identity)
  } catch (error) {
    await storage.close()
    throw error
  }
}
