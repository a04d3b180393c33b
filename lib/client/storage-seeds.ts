import type { SeedShelf } from './identity.js'
import type { Database } from './storage-database.js'
import type { RoomKeys } from './storage-keys.js'

/** The seeds of a room beside its nodes. */
export function createSeedShelf (database: Database, keys: RoomKeys): SeedShelf {
  const put = (key: Uint8Array, value: Uint8Array): Promise<void> => database.write([{ type: 'put', key, value }], true)
  return {
    identity: async () => await database.run((level) => level.get(keys.identity)) ?? null,
    keepIdentity: (seed) => put(keys.identity, seed),
    async spare () {
      const seeds: Uint8Array[] = []
      for await (const [, seed] of database.entries(keys.spares)) seeds.push(seed)
      return seeds
    },
    keepSpare: (seed) => put(keys.spare(crypto.getRandomValues(new Uint8Array(8))), seed)
  }
}
