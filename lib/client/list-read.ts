import { toHex } from '../protocol/hex.js'
import type { List } from '../state/list.js'
import type { Held } from '../state/map.js'
import { type Json, decodeValue } from './json.js'
import { contentKey } from './key.js'
import { itemBytes } from './list-write.js'

/** An item: its id in hexadecimal, and its content, which is undefined while it has not arrived. */
export interface Item<T> { id: string, content: T | undefined }

/** What can be asked of a list. */
export interface ListReading<T = Json> extends Iterable<Item<T>> {
  readonly length: number
  /** The item at an index; negative ones count from the end. */
  at (index: number): Item<T> | undefined
  /** Content of an item, or undefined when the list does not show it. */
  get (id: string): T | undefined
  has (id: string): boolean
  ids (): string[]
  /** Where an item stands, or -1. */
  indexOf (id: string): number
  toArray (): Item<T>[]
}

/** Reads a list; `held` answers contents by map key. What others wrote has the shape they gave it. */
export function readList<T = Json> (key: string, list: () => List, held: (path: string) => Held): ListReading<T> {
  const content = (id: string): T | undefined => decodeValue(held(contentKey(key, id))) as T | undefined
  const itemOf = (bytes: Uint8Array): Item<T> => {
    const id = toHex(bytes)
    return { id, content: content(id) }
  }
  const toArray = (): Item<T>[] => list().items().map(({ id }) => itemOf(id))

  return {
    get length () { return list().length },
    at (index) {
      const item = list().items().at(checkIndex(index))
      return item && itemOf(item.id)
    },
    get: (id) => list().has(itemBytes(id)) ? content(id) : undefined,
    has: (id) => list().has(itemBytes(id)),
    ids: () => list().items().map(({ id }) => toHex(id)),
    indexOf: (id) => list().indexOf(itemBytes(id)),
    toArray,
    [Symbol.iterator]: () => toArray().values()
  }
}

export function checkIndex (index: unknown): number {
  if (typeof index !== 'number') throw new TypeError('an index is a number')
  if (!Number.isInteger(index)) throw new RangeError('an index is an integer')
  return index
}
