import { toHex } from '../protocol/hex.js'
import type { MapOp } from '../protocol/op.js'
import { type ConflictOp, type OnConflict, report } from './conflict.js'
import { type Priority, beats, compareUtf8, kept, neverWins } from './order.js'

/**
 * The last-writer-wins map of a room (spec/wire-format.md §7). Its content depends only on the set of operations applied. Values are
 * opaque bytes; for a blob reference the value is the 32-byte hash.
 */
export interface LwwMap {
  /** Applies one operation. Returns whether what the map shows for the key may have changed. */
  apply (by: Priority, op: MapOp): boolean
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
  /** Entries by key in the order of UTF-8 bytes. */
  sorted (): [string, Uint8Array][]
  /** Every blob hash that any operation ever named, as lower-case hexadecimal, winners or not. */
  blobs (): ReadonlySet<string>
}

interface Slot { by: Priority, value: Uint8Array | undefined, blob: boolean }

/** Creates an empty map. `onConflict` is told when an operation loses to one of another author. */
export function createMap (onConflict?: OnConflict): LwwMap {
  const slots = new Map<string, Slot>()
  const blobs = new Set<string>()
  let size = 0

  function tell (key: string, winner: Slot, loser: Slot): void {
    if (onConflict === undefined) return
    report(onConflict, 'map_overwrite', key, { by: winner.by, op: describe(winner) }, { by: loser.by, op: describe(loser) })
  }

  return {
    apply (by, op) {
      if (neverWins(by)) return false
      if (op.type === 'map-set-blob') blobs.add(toHex(op.hash))
      const held = slots.get(op.key)
      const slot: Slot = { by, value: valueOf(op), blob: op.type === 'map-set-blob' }
      if (held !== undefined && !beats(by, held.by)) {
        tell(op.key, held, slot)
        return false
      }
      if (held !== undefined) tell(op.key, slot, held)
      size += Number(slot.value !== undefined) - Number(held?.value !== undefined)
      slots.set(op.key, { by: kept(by), value: slot.value?.slice(), blob: slot.blob })
      return slot.value !== undefined || held?.value !== undefined
    },
    get: (key) => slots.get(key)?.value,
    has: (key) => slots.get(key)?.value !== undefined,
    isBlob: (key) => slots.get(key)?.blob === true,
    writer: (key) => slots.get(key)?.by,
    get size () { return size },
    keys: () => slots.keys(),
    * entries () { for (const [key, { value }] of slots) if (value !== undefined) yield [key, value] as [string, Uint8Array] },
    sorted () { return [...this.entries()].sort(([a], [b]) => compareUtf8(a, b)) },
    blobs: () => blobs
  }
}

function valueOf (op: MapOp): Uint8Array | undefined {
  if (op.type === 'map-delete') return undefined
  return op.type === 'map-set' ? op.value : op.hash
}

function describe (slot: Slot): ConflictOp {
  if (slot.value === undefined) return { kind: 'delete' }
  return slot.blob ? { kind: 'set_blob', blob_hash: [...slot.value] } : { kind: 'set', value: [...slot.value] }
}
