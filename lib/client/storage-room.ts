import { NodalmergeError } from '../errors.js'
import { createClaim } from './identity.js'
import type { Locks, Unlock } from './locks.js'
import type { RoomStorage, StorageBatch } from './storage.js'
import { createBlobs } from './storage-blobs.js'
import { type Database, type LevelWrite, storageError } from './storage-database.js'
import type { RoomKeys } from './storage-keys.js'
import type { Log } from './storage-log.js'
import { checkBatch, createPendingIds, idOfEncoded, inOrder } from './storage-pending.js'
import { createSeedShelf } from './storage-seeds.js'
import { createTurn } from './turn.js'

export interface RoomParts { room: string, database: Database, keys: RoomKeys, log: Log, locks: Locks, present: Unlock | null }

/** One room in a database that is open. `present` is the lock that tells others that the room is in use. */
export function createRoomStorage ({ room, database, keys, log, locks, present }: RoomParts): RoomStorage {
  const turn = createTurn()
  const known = createPendingIds()
  const blobs = createBlobs(database, keys)
  const claim = createClaim(room, createSeedShelf(database, keys), locks)
  let closed: Promise<void> | null = null

  function check (): void {
    if (closed !== null) throw new NodalmergeError('client.storage', 'the storage is closed')
  }

  /** Nothing begins after `close`, and `close` waits for what began before. */
  async function whileOpen<T> (task: () => Promise<T>): Promise<T> {
    check()
    return await turn(task)
  }

  async function write ({ pending = [], confirmed = [], dropped = [] }: StorageBatch): Promise<void> {
    for (const node of pending) known.add(node)
    const settled = [...confirmed.map(idOfEncoded).filter(known.has), ...dropped]
    const writes: LevelWrite[] = [
      ...pending.map((node) => ({ type: 'put', key: keys.pendingNode(idOfEncoded(node)), value: node }) as const),
      ...await log.append(confirmed),
      ...settled.map((id) => ({ type: 'del', key: keys.pendingNode(id) }) as const)
    ]
    if (writes.length === 0) return
    await database.write(writes, pending.length > 0)
    settled.forEach(known.delete)
  }

  async function readPending (): Promise<Uint8Array[]> {
    const nodes: Uint8Array[] = []
    for await (const [, node] of database.entries(keys.pending)) nodes.push(node)
    nodes.forEach(known.add)
    try {
      return inOrder(nodes)
    } catch (cause) {
      throw storageError(cause)
    }
  }

  async function end (): Promise<void> {
    await turn(async () => {
      await claim.release()
      await present?.()
    })
    await database.release()
  }

  return {
    async * load () {
      check()
      yield * log.packs()
    },
    pending: () => whileOpen(readPending),
    async write (batch) {
      checkBatch(batch)
      await whileOpen(() => write(batch))
    },
    identity: (given) => whileOpen(() => claim.seeds(given)),
    blob: (hash) => whileOpen(() => blobs.get(hash)),
    putBlob: (hash, bytes, uploaded) => whileOpen(() => blobs.put(hash, bytes, uploaded)),
    blobUploaded: (hash) => whileOpen(() => blobs.uploaded(hash)),
    unsentBlobs: () => whileOpen(() => blobs.unsent()),
    clear: () => whileOpen(async () => {
      // Seeds first: nodes without their seed do no harm, a seed without its nodes would give ids away twice.
      await claim.release()
      await database.run((level) => level.clear(keys.seeds))
      await database.run((level) => level.clear(keys.all))
    }),
    async close () {
      closed ??= end()
      await closed
    }
  }
}
