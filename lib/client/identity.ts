import { plainBlake3 } from '../protocol/blake3-plain.js'
import { concat } from '../protocol/bytes.js'
import { toHex } from '../protocol/hex.js'
import { utf8Encode } from '../protocol/postcard.js'
import { checkSeed } from './ed25519-rule.js'
import type { Locks, Unlock } from './locks.js'

const SEED_LENGTH = 32

/** Where the seeds of one room are kept, beside its nodes, so that both are lost together and never one alone. */
export interface SeedShelf {
  identity (): Promise<Uint8Array | null>
  keepIdentity (seed: Uint8Array): Promise<void>
  /** Seeds of further tabs, to be used again by later ones. */
  spare (): Promise<Uint8Array[]>
  keepSpare (seed: Uint8Array): Promise<void>
}

export interface Seeds { identity: Uint8Array, writer: Uint8Array }

/**
 * Decides with which seed a tab writes. Two writers under one seed could give one id to two characters, so the writer's seed is held
 * by a lock as long as the tab lives: the identity itself where nobody holds it, else a spare seed.
 */
export interface Claim {
  /** The first call decides, until `release`. Throws RangeError for a seed that is not 32 bytes long. */
  seeds (given?: Uint8Array): Promise<Seeds>
  release (): Promise<void>
}

export function createClaim (room: string, shelf: SeedShelf, locks: Locks): Claim {
  let claimed: Promise<Seeds> | null = null
  let unlock: Unlock | null = null

  async function own (): Promise<Uint8Array> {
    const made = await locks.hold(`nodalmerge:identity:${room}`)
    try {
      const kept = await shelf.identity()
      if (kept !== null) return kept
      const seed = randomSeed()
      await shelf.keepIdentity(seed)
      return seed
    } finally {
      await made?.()
    }
  }

  async function hold (seed: Uint8Array): Promise<boolean> {
    unlock = await locks.hold(lockName(room, seed), { ifAvailable: true })
    return unlock !== null
  }

  async function writerFor (identity: Uint8Array): Promise<Uint8Array> {
    if (await hold(identity)) return identity
    for (const seed of await shelf.spare()) if (await hold(seed)) return seed
    const seed = randomSeed()
    if (await hold(seed)) await shelf.keepSpare(seed)
    return seed
  }

  async function decide (given: Uint8Array | undefined): Promise<Seeds> {
    const identity = given === undefined ? await own() : Uint8Array.from(given)
    return { identity, writer: await writerFor(identity) }
  }

  async function release (): Promise<void> {
    claimed = null
    await unlock?.()
    unlock = null
  }

  return {
    async seeds (given) {
      if (given !== undefined) checkSeed(given)
      claimed ??= decide(given)
      try {
        return await claimed
      } catch (cause) {
        await release()
        throw cause
      }
    },
    release
  }
}

function randomSeed (): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(SEED_LENGTH))
}

/** Names the pair of room and seed without telling the seed: all pages of an origin see the names of its locks. */
function lockName (room: string, seed: Uint8Array): string {
  return `nodalmerge:writer:${toHex(plainBlake3.hash(concat([utf8Encode(room), seed])))}`
}
