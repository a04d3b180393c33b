import { equalBytes } from '../protocol/bytes.js'
import { toHex } from '../protocol/hex.js'
import type { MapOp } from '../protocol/op.js'
import { type ConflictOp, type OnConflict, report } from './conflict.js'
import { type KeyIndex, createKeyIndex } from './key-index.js'
import { type Held, type Slot, createContests, keptSlot, slotOf } from './map-contest.js'
import { type Priority, beats, compareUtf8, neverWins } from './order.js'
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

export type { Held }

/** Told before what a key shows changes; `old` is undefined for a key never written. */
export type OnMapChange = (key: string, old: Held | undefined) => void

/** Creates an empty map. `onConflict` is told when an operation loses to one of another author. */
export function createMap (onConflict?: OnConflict, onChange?: OnMapChange): LwwMap {
  const shown = createShown(onChange)
  const contests = createContests()
  const blobs = createTentativeSet()

  function tell (key: string, winner: Slot, loser: Slot): void {
    if (onConflict === undefined) return
    report(onConflict, 'map_overwrite', key, { by: winner.by, op: describe(winner) }, { by: loser.by, op: describe(loser) })
  }

  function contend (key: string, slot: Slot): boolean {
    const held = shown.slots.get(key)
    if (held !== undefined && !beats(slot.by, held.by)) {
      tell(key, held, slot)
      return false
    }
    if (held !== undefined) tell(key, slot, held)
    return shown.put(key, held, keptSlot(slot))
  }

  return Object.assign(reading(shown), {
    apply (by: Priority, op: MapOp) {
      if (neverWins(by)) return false
      if (op.type === 'map-set-blob') blobs.add(toHex(op.hash))
      const slot = slotOf(by, op)
      if (contests.size > 0) contests.strengthen(op.key, slot)
      return contend(op.key, slot)
    },
    applyLocal (by: Priority, op: MapOp) {
      if (neverWins(by)) return false
      if (op.type === 'map-set-blob') blobs.addLocal(toHex(op.hash))
      const slot = keptSlot(slotOf(by, op))
      return contests.enter(op.key, shown.slots.get(op.key), slot) && contend(op.key, slot)
    },
    retract (by: Priority, op: MapOp) {
      if (op.type === 'map-set-blob') blobs.retract(toHex(op.hash))
      const left = contests.leave(op.key, by)
      const held = shown.slots.get(op.key)
      if (left === null || held === undefined || !equalBytes(held.by.id, by.id)) return false
      return shown.put(op.key, held, left.winner)
    },
    confirm (by: Priority, op: MapOp) {
      if (op.type === 'map-set-blob') blobs.add(toHex(op.hash))
      const left = contests.leave(op.key, by)
      if (left !== null) contests.strengthen(op.key, left.slot)
    },
    blobs: () => blobs.names
  })
}

/** The strongest operation of every key, and what is counted and indexed of them. */
interface Shown {
  readonly slots: ReadonlyMap<string, Slot>
  readonly size: number
  index (): KeyIndex
  /** Puts a slot, or none, in the place of the one held. Returns whether that can be seen. */
  put (key: string, held: Slot | undefined, slot: Slot | undefined): boolean
}

function createShown (onChange: OnMapChange | undefined): Shown {
  const slots = new Map<string, Slot>()
  let index: KeyIndex | null = null
  let size = 0
  return {
    slots,
    get size () { return size },
    index () {
      if (index === null) {
        index = createKeyIndex()
        for (const [key, { value }] of slots) if (value !== undefined) index.add(key)
      }
      return index
    },
    put (key, held, slot) {
      const was = held?.value !== undefined
      const is = slot?.value !== undefined
      if (was || is) onChange?.(key, held)
      if (slot === undefined) slots.delete(key)
      else slots.set(key, slot)
      size += Number(is) - Number(was)
      if (was !== is) index?.[is ? 'add' : 'delete'](key)
      return was || is
    }
  }
}

type Reading = Omit<LwwMap, 'apply' | 'applyLocal' | 'retract' | 'confirm' | 'blobs'>

function reading (shown: Shown): Reading {
  const { slots } = shown
  return {
    get: (key) => slots.get(key)?.value,
    has: (key) => slots.get(key)?.value !== undefined,
    isBlob: (key) => slots.get(key)?.blob === true,
    writer: (key) => slots.get(key)?.by,
    get size () { return shown.size },
    keys: () => slots.keys(),
    * entries () { for (const [key, { value }] of slots) if (value !== undefined) yield [key, value] },
    * entriesUnder (prefix) {
      for (const key of shown.index().under(prefix)) {
        const value = slots.get(key)?.value
        if (value !== undefined) yield [key, value]
      }
    },
    sizeUnder: (prefix) => shown.index().count(prefix),
    sorted () { return [...this.entries()].sort(([a], [b]) => compareUtf8(a, b)) }
  }
}

function describe (slot: Slot): ConflictOp {
  if (slot.value === undefined) return { kind: 'delete' }
  return slot.blob ? { kind: 'set_blob', blob_hash: [...slot.value] } : { kind: 'set', value: [...slot.value] }
}
