import type { MapOp } from '../protocol/op.js'
import type { Held, LwwMap } from '../state/map.js'
import type { Entry } from './entry.js'
import { ABSENT } from './json.js'

/** Operations of one node take at most about this many bytes, so that every server takes it (spec/client.md §11.2, C1). */
const NODE_BYTES = 24 * 1024

/** What a transaction has written to the map and not yet turned into a node. A node may name a key only once: the last value counts. */
export interface Stage {
  /** What the map shows under a key, with what is staged. */
  held (key: string): Held
  has (key: string): boolean
  readonly keys: ReadonlyMap<string, Held>
  put (key: string, held: Held, item?: { list: string, item: string }): void
  drop (key: string): void
  /** Empties the stage into nodes with what undoes them. */
  take (): { ops: MapOp[], entries: Entry[] }[]
}

interface Staged { held: Held, item: { list: string, item: string } | undefined }

export function createStage (map: () => LwwMap): Stage {
  const staged = new Map<string, Staged>()
  const shown = new Map<string, Held>()
  const written = (key: string): Held => heldIn(map(), key)

  return {
    held: (key) => shown.get(key) ?? written(key),
    has: (key) => shown.has(key),
    keys: shown,
    put (key, held, item) {
      staged.delete(key)
      staged.set(key, { held, item })
      shown.set(key, held)
    },
    drop (key) {
      staged.delete(key)
      shown.delete(key)
    },
    take () {
      const nodes: { ops: MapOp[], entries: Entry[] }[] = []
      // Every keystroke comes by here, and emptying an empty map has a price.
      if (staged.size === 0) return nodes
      let room = 0
      for (const [key, { held, item }] of staged) {
        const size = 3 * key.length + (held.value?.length ?? 0)
        if (nodes.length === 0 || size > room) {
          nodes.push({ ops: [], entries: [] })
          room = NODE_BYTES
        }
        room -= size
        const node = nodes[nodes.length - 1]
        node.ops.push(mapOp(key, held))
        const change = { before: written(key), after: held }
        node.entries.push(item === undefined
          ? { kind: 'map', key, ...change }
          : { kind: 'list-content', key: item.list, item: item.item, ...change })
      }
      staged.clear()
      shown.clear()
      return nodes
    }
  }
}

export function heldIn (map: LwwMap, key: string): Held {
  const value = map.get(key)
  return value === undefined ? ABSENT : { value, blob: map.isBlob(key) }
}

export function mapOp (key: string, { value, blob }: Held): MapOp {
  if (value === undefined) return { type: 'map-delete', key }
  return blob ? { type: 'map-set-blob', key, hash: value } : { type: 'map-set', key, value }
}
