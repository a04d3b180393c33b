import { equalBytes } from '../protocol/bytes.js'
import { toHex } from '../protocol/hex.js'
import type { MapOp } from '../protocol/op.js'
import { type ConflictOp, type OnConflict, report } from './conflict.js'
import { type KeyIndex, createKeyIndex } from './key-index.js'
import { type Priority, beats, compareUtf8, kept, neverWins } from './order.js'
import { createTentativeSet } from './tentative-set.js'

/**
 * The last-writer-wins map of a room (spec/wire-format.md §7). Its content depends only on the set of operations applied. Values are
 * opaque bytes; for a blob reference the value is the 32-byte hash.
 */
export interface LwwMap {
  /** Applies one operation. Returns whether what the map shows for the key may have changed. */
  apply (by: Priority, op: MapOp): boolean
  /** Applies an operation that `retract` can take out again until `confirm`. */
  applyLocal (by: Priority, op: MapOp): boolean
  /** Takes out a local operation: the map is as if it had never been applied. Returns whether what it shows may have changed. */
  retract (by: Priority, op: MapOp): boolean
  /** Makes a local operation one like any other. */
  confirm (by: Priority, op: MapOp): void
  /** The value of a key, or undefined when it is absent or deleted. The bytes are the map's own: do not change them. */
  get (key: string): Uint8Array | undefined
  has (key: string): boolean
  /** Whether the value is the hash of a blob. */
  isBlob (key: string): boolean
  /** The node that wrote what the key shows, a deletion included. */
  writer (key: string): Priority | undefined
  /** Number of keys that have a value. */
  readonly size: number
  /** Every key that was ever written, deleted ones included. */
  keys (): IterableIterator<string>
  /** Entries in no particular order. */
  entries (): IterableIterator<[string, Uint8Array]>
  /**
   * The entries whose key starts with a prefix, in no particular order. For a prefix that ends in `/`, as namespaces do, this costs
   * what it yields, from the second call on; the first one builds an index.
   */
  entriesUnder (prefix: string): IterableIterator<[string, Uint8Array]>
  /** How many entries a prefix has. */
  sizeUnder (prefix: string): number
  /** Entries by key in the order of UTF-8 bytes. */
  sorted (): [string, Uint8Array][]
  /** Every blob hash that any operation ever named, as lower-case hexadecimal, winners or not. */
  blobs (): ReadonlySet<string>
}

/** What a key holds: the value, undefined when it is deleted, and whether that is the hash of a blob. */
export interface Held { value: Uint8Array | undefined, blob: boolean }

/** Told before what a key shows changes; `old` is undefined for a key never written. */
export type OnMapChange = (key: string, old: Held | undefined) => void

interface Slot extends Held { by: Priority }

/** A key that local operations write: the strongest of the others, and the local ones, strongest last. */
interface Contest { confirmed: Slot | undefined, local: Slot[] }

/** Creates an empty map. `onConflict` is told when an operation loses to one of another author. */
export function createMap (onConflict?: OnConflict, onChange?: OnMapChange): LwwMap {
  const slots = new Map<string, Slot>()
  const contests = new Map<string, Contest>()
  const blobs = createTentativeSet()
  let index: KeyIndex | null = null
  let size = 0

  function tell (key: string, winner: Slot, loser: Slot): void {
    if (onConflict === undefined) return
    report(onConflict, 'map_overwrite', key, { by: winner.by, op: describe(winner) }, { by: loser.by, op: describe(loser) })
  }

  /** Puts a slot, or none, in the place of the one held. Returns whether that can be seen. */
  function put (key: string, held: Slot | undefined, slot: Slot | undefined): boolean {
    const was = held?.value !== undefined
    const is = slot?.value !== undefined
    if (was || is) onChange?.(key, held)
    if (slot === undefined) slots.delete(key)
    else slots.set(key, slot)
    size += Number(is) - Number(was)
    if (index !== null && was !== is) index[is ? 'add' : 'delete'](key)
    return was || is
  }

  /** Lets a slot contend for a key. */
  function contend (key: string, slot: Slot): boolean {
    const held = slots.get(key)
    if (held !== undefined && !beats(slot.by, held.by)) {
      tell(key, held, slot)
      return false
    }
    if (held !== undefined) tell(key, slot, held)
    return put(key, held, keptSlot(slot))
  }

  /** Takes a local operation out of its contest. */
  function withdraw (by: Priority, op: MapOp): { contest: Contest, slot: Slot } | null {
    const contest = contests.get(op.key)
    if (contest === undefined) return null
    const at = placeOf(contest.local, by)
    const slot = contest.local[at]
    if (slot === undefined || !equalBytes(slot.by.id, by.id)) return null
    contest.local.splice(at, 1)
    if (contest.local.length === 0) contests.delete(op.key)
    return { contest, slot }
  }

  function indexed (): KeyIndex {
    if (index === null) {
      index = createKeyIndex()
      for (const [key, { value }] of slots) if (value !== undefined) index.add(key)
    }
    return index
  }

  return {
    apply (by, op) {
      if (neverWins(by)) return false
      if (op.type === 'map-set-blob') blobs.add(toHex(op.hash))
      const slot = slotOf(by, op)
      if (contests.size > 0) strengthen(contests.get(op.key), slot)
      return contend(op.key, slot)
    },
    applyLocal (by, op) {
      if (neverWins(by)) return false
      if (op.type === 'map-set-blob') blobs.addLocal(toHex(op.hash))
      let contest = contests.get(op.key)
      if (contest === undefined) contests.set(op.key, contest = { confirmed: slots.get(op.key), local: [] })
      const at = placeOf(contest.local, by)
      if (at < contest.local.length && equalBytes(contest.local[at].by.id, by.id)) return false
      const slot = keptSlot(slotOf(by, op))
      contest.local.splice(at, 0, slot)
      return contend(op.key, slot)
    },
    retract (by, op) {
      if (op.type === 'map-set-blob') blobs.retract(toHex(op.hash))
      const withdrawn = withdraw(by, op)
      const held = slots.get(op.key)
      if (withdrawn === null || held === undefined || !equalBytes(held.by.id, by.id)) return false
      const { confirmed, local } = withdrawn.contest
      const rival = local.at(-1)
      return put(op.key, held, rival !== undefined && (confirmed === undefined || beats(rival.by, confirmed.by)) ? rival : confirmed)
    },
    confirm (by, op) {
      if (op.type === 'map-set-blob') blobs.add(toHex(op.hash))
      const withdrawn = withdraw(by, op)
      if (withdrawn !== null) strengthen(withdrawn.contest, withdrawn.slot)
    },
    get: (key) => slots.get(key)?.value,
    has: (key) => slots.get(key)?.value !== undefined,
    isBlob: (key) => slots.get(key)?.blob === true,
    writer: (key) => slots.get(key)?.by,
    get size () { return size },
    keys: () => slots.keys(),
    * entries () { for (const [key, { value }] of slots) if (value !== undefined) yield [key, value] as [string, Uint8Array] },
    * entriesUnder (prefix) {
      for (const key of indexed().under(prefix)) {
        const value = slots.get(key)?.value
        if (value !== undefined) yield [key, value] as [string, Uint8Array]
      }
    },
    sizeUnder: (prefix) => indexed().count(prefix),
    sorted () { return [...this.entries()].sort(([a], [b]) => compareUtf8(a, b)) },
    blobs: () => blobs.names
  }
}

function slotOf (by: Priority, op: MapOp): Slot {
  return { by, value: valueOf(op), blob: op.type === 'map-set-blob' }
}

/** A slot that may be kept: it holds no view of the bytes it came in. */
function keptSlot ({ by, value, blob }: Slot): Slot {
  return { by: kept(by), value: value?.slice(), blob }
}

function strengthen (contest: Contest | undefined, slot: Slot): void {
  if (contest === undefined) return
  if (contest.confirmed === undefined || beats(slot.by, contest.confirmed.by)) contest.confirmed = keptSlot(slot)
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

function valueOf (op: MapOp): Uint8Array | undefined {
  if (op.type === 'map-delete') return undefined
  return op.type === 'map-set' ? op.value : op.hash
}

function describe (slot: Slot): ConflictOp {
  if (slot.value === undefined) return { kind: 'delete' }
  return slot.blob ? { kind: 'set_blob', blob_hash: [...slot.value] } : { kind: 'set', value: [...slot.value] }
}
