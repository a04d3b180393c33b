import { equalBytes } from '../protocol/bytes.js'
import type { MapOp } from '../protocol/op.js'
import { type Priority, beats, kept } from './order.js'

/** What a key holds: the value, undefined when it is deleted, and whether that is the hash of a blob. */
export interface Held { value: Uint8Array | undefined, blob: boolean }

/** An operation as the map keeps it. */
export interface Slot extends Held { by: Priority }

export function slotOf (by: Priority, op: MapOp): Slot {
  const value = op.type === 'map-delete' ? undefined : op.type === 'map-set' ? op.value : op.hash
  return { by, value, blob: op.type === 'map-set-blob' }
}

/** A slot that may be kept: it holds no view of the bytes it came in. */
export function keptSlot ({ by, value, blob }: Slot): Slot {
  return { by: kept(by), value: value?.slice(), blob }
}

/** The strongest of the confirmed operations on a key, and the local ones, strongest last. */
interface Contest { confirmed: Slot | undefined, local: Slot[] }

/** The keys that local operations write, so that one can be taken out again. Empty, and without cost, where there are none. */
export interface Contests {
  readonly size: number
  /** A confirmed operation came to a key. */
  strengthen (key: string, slot: Slot): void
  /** A local operation comes to a key that shows `held` so far. False for a further one of the same node. */
  enter (key: string, held: Slot | undefined, slot: Slot): boolean
  /** Takes a local operation back: it, and what wins without it. Null when there is no such operation. */
  leave (key: string, by: Priority): { slot: Slot, winner: Slot | undefined } | null
}

export function createContests (): Contests {
  const contests = new Map<string, Contest>()
  return {
    get size () { return contests.size },
    strengthen (key, slot) {
      const contest = contests.get(key)
      if (contest !== undefined && wins(slot, contest.confirmed)) contest.confirmed = keptSlot(slot)
    },
    enter (key, held, slot) {
      let contest = contests.get(key)
      if (contest === undefined) contests.set(key, contest = { confirmed: held, local: [] })
      const at = placeOf(contest.local, slot.by)
      if (isAt(contest.local, at, slot.by)) return false
      contest.local.splice(at, 0, slot)
      return true
    },
    leave (key, by) {
      const contest = contests.get(key)
      const at = contest === undefined ? -1 : placeOf(contest.local, by)
      if (contest === undefined || !isAt(contest.local, at, by)) return null
      const { confirmed, local } = contest
      const [slot] = local.splice(at, 1)
      if (local.length === 0) contests.delete(key)
      const rival = local.at(-1)
      return { slot, winner: rival !== undefined && wins(rival, confirmed) ? rival : confirmed }
    }
  }
}

function wins (slot: Slot, over: Slot | undefined): boolean {
  return over === undefined || beats(slot.by, over.by)
}

/** Where an operation stands, or would stand, among slots in ascending order of strength. */
function placeOf (slots: readonly Slot[], by: Priority): number {
  let low = 0
  let high = slots.length
  while (low < high) {
    const middle = low + high >>> 1
    if (beats(by, slots[middle].by)) low = middle + 1
    else high = middle
  }
  return low
}

function isAt (slots: readonly Slot[], at: number, by: Priority): boolean {
  return at < slots.length && equalBytes(slots[at].by.id, by.id)
}
