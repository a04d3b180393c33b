import { toHex } from '../protocol/hex.js'
import type { Document } from '../state/document.js'
import type { Held } from '../state/map.js'
import { type Json, decodeValue } from './json.js'
import { checkKey, isHidden, prefixOf } from './key.js'
import { heldIn } from './stage.js'

export type KeyOf<Shape> = Extract<keyof Shape, string>

export type EntryOf<Shape> = { [K in KeyOf<Shape>]: [K, Shape[K]] }[KeyOf<Shape>]

/** What can be asked of a namespace of the map. `Shape` says which keys it has and what they hold. */
export interface MapReading<Shape extends object = Record<string, Json>> {
  /** The value of a key: what was set, a string that is not JSON as it is, `BlobRef` for a blob, bytes that are no text. */
  get<K extends KeyOf<Shape>> (key: K): Shape[K] | undefined
  has (key: KeyOf<Shape>): boolean
  /** Hash of the blob under a key in hexadecimal, or undefined when there is none. */
  blob (key: KeyOf<Shape>): string | undefined
  keys (): KeyOf<Shape>[]
  entries (): EntryOf<Shape>[]
  /** All entries as an object. */
  all (): Partial<Shape>
  readonly size: number
}

export interface MapSource {
  held (path: string): Held
  /** The paths under a prefix that hold something. */
  paths (prefix: string): Iterable<string>
}

/** Reads a namespace. Contents of lists and reserved keys are not among its entries. What others wrote has the shape they gave it. */
export function readMap<Shape extends object = Record<string, Json>> (namespace: string, source: MapSource): MapReading<Shape> {
  const prefix = prefixOf(namespace)
  const held = (key: string): Held => source.held(prefix + checkKey(key))
  const paths = (): string[] => [...source.paths(prefix)].filter((path) => !isHidden(path))
  const keys = (): KeyOf<Shape>[] => paths().map((path) => path.slice(prefix.length) as KeyOf<Shape>)
  const get = <K extends KeyOf<Shape>>(key: K): Shape[K] | undefined => decodeValue(held(key)) as Shape[K] | undefined
  const entries = (): EntryOf<Shape>[] => keys().map((key) => [key, get(key)] as EntryOf<Shape>)

  return {
    get,
    has: (key) => held(key).value !== undefined,
    blob (key) {
      const { value, blob } = held(key)
      return blob && value !== undefined ? toHex(value) : undefined
    },
    keys,
    entries,
    all () {
      const found: Record<string, unknown> = Object.fromEntries(entries())
      return found as Partial<Shape>
    },
    get size () { return paths().length }
  }
}

/** The map of a document as it lies. */
export function sourceOf (document: () => Document): MapSource {
  return {
    held: (path) => heldIn(document().map, path),
    * paths (prefix) {
      for (const [path] of prefix === '' ? document().map.entries() : document().map.entriesUnder(prefix)) yield path
    }
  }
}
