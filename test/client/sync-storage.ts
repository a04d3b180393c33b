import { encodePack } from '../../lib/protocol/pack.js'
import { toHex } from '../../lib/protocol/hex.js'
import type { RoomStorage, StorageBatch } from '../../lib/client/storage.js'

/** A room's storage in memory: what a client leaves behind when it is killed. */
export interface MemoryStorage extends RoomStorage {
  readonly confirmed: Map<string, Uint8Array>
  readonly waiting: Map<string, Uint8Array>
  /** Every batch, oldest first. */
  readonly batches: StorageBatch[]
  /** Throws from `write` while set. */
  failure: Error | null
  /** Holds writes until it is called. */
  hold (): () => void
}

export function memoryStorage (): MemoryStorage {
  const confirmed = new Map<string, Uint8Array>()
  const waiting = new Map<string, Uint8Array>()
  const batches: StorageBatch[] = []
  let gate = Promise.resolve()
  const nameOf = (node: Uint8Array): string => toHex(node.subarray(0, 32))
  const storage: MemoryStorage = {
    confirmed,
    waiting,
    batches,
    failure: null,
    hold () {
      let open = (): void => {}
      gate = new Promise((resolve) => { open = resolve })
      return open
    },
    async * load () { if (confirmed.size > 0) yield encodePack([...confirmed.values()]) },
    pending: async () => [...waiting.values()],
    async write (batch) {
      await gate
      if (storage.failure !== null) throw storage.failure
      batches.push(batch)
      for (const node of batch.pending ?? []) waiting.set(nameOf(node), node.slice())
      for (const node of batch.confirmed ?? []) {
        waiting.delete(nameOf(node))
        confirmed.set(nameOf(node), node.slice())
      }
      for (const id of batch.dropped ?? []) waiting.delete(toHex(id))
    },
    identity: async () => { throw new Error('not part of this') },
    blob: async () => null,
    putBlob: async () => {},
    blobUploaded: async () => {},
    unsentBlobs: async () => [],
    clear: async () => {},
    close: async () => {}
  }
  return storage
}
