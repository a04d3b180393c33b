import { NodalmergeError } from '../errors.js'
import { encodePack } from '../protocol/pack.js'
import { toHex } from '../protocol/hex.js'
import { type Locks, createLocks, platformLocks } from './locks.js'
import { type SeedShelf, createClaim } from './identity.js'
import type { RoomStorage, Storage, StorageBatch } from './storage.js'
import { bytesOfHash } from './storage-blobs.js'
import { checkBatch, idOfEncoded, inOrder } from './storage-pending.js'

interface Kept {
  packs: Uint8Array[]
  pending: Map<string, Uint8Array>
  blobs: Map<string, Uint8Array>
  unsent: Set<string>
  identity: Uint8Array | null
  spare: Uint8Array[]
}

const nothing = (): Kept => ({ packs: [], pending: new Map(), blobs: new Map(), unsent: new Set(), identity: null, spare: [] })

/** Storage that lasts as long as this object: rooms that are closed and opened again find what they left. */
export function memoryStorage (): Storage {
  const rooms = new Map<string, Kept>()
  const locks = platformLocks() ?? createLocks()
  return {
    async open (room) {
      if (typeof room !== 'string') throw new TypeError('a room is named by a string')
      const kept = rooms.get(room) ?? nothing()
      rooms.set(room, kept)
      return memoryRoom(room, kept, locks)
    }
  }
}

/**
 * For documents that are kept nowhere: seeds and blobs as above, but no nodes, which the document holds anyway.
 */
export async function passingRoom (room: string): Promise<RoomStorage> {
  const storage = await memoryStorage().open(room)
  return {
    ...storage,
    async * load () {},
    pending: async () => [],
    async write () {}
  }
}

function memoryRoom (room: string, kept: Kept, locks: Locks): RoomStorage {
  const claim = createClaim(room, shelf(kept), locks)
  let closed = false

  function check (): void {
    if (closed) throw new NodalmergeError('client.storage', 'the storage is closed')
  }

  return {
    async * load () {
      check()
      yield * [...kept.packs]
    },
    async pending () {
      check()
      return inOrder([...kept.pending.values()])
    },
    async write (batch) {
      checkBatch(batch)
      check()
      keep(kept, batch)
    },
    async identity (given) {
      check()
      return await claim.seeds(given)
    },
    async blob (hash) {
      check()
      return kept.blobs.get(toHex(bytesOfHash(hash))) ?? null
    },
    async putBlob (hash, bytes, uploaded) {
      check()
      const name = toHex(bytesOfHash(hash))
      kept.blobs.set(name, Uint8Array.from(bytes))
      if (uploaded) kept.unsent.delete(name)
      else kept.unsent.add(name)
    },
    async blobUploaded (hash) {
      check()
      kept.unsent.delete(toHex(bytesOfHash(hash)))
    },
    async unsentBlobs () {
      check()
      return [...kept.unsent]
    },
    async clear () {
      check()
      await claim.release()
      Object.assign(kept, nothing())
    },
    async close () {
      closed = true
      await claim.release()
    }
  }
}

function keep (kept: Kept, { pending = [], confirmed = [], dropped = [] }: StorageBatch): void {
  for (const node of pending) kept.pending.set(toHex(idOfEncoded(node)), Uint8Array.from(node))
  if (confirmed.length > 0) kept.packs.push(encodePack(confirmed))
  if (kept.pending.size === 0) return
  for (const id of [...confirmed.map(idOfEncoded), ...dropped]) kept.pending.delete(toHex(id))
}

function shelf (kept: Kept): SeedShelf {
  return {
    identity: async () => kept.identity,
    keepIdentity: async (seed) => { kept.identity = seed },
    spare: async () => kept.spare,
    keepSpare: async (seed) => { kept.spare.push(seed) }
  }
}
