import { fromHex } from '../protocol/hex.js'
import type { MapEvent } from './event.js'
import { ABSENT, type Encoding, type Json, encodeValue } from './json.js'
import { checkKey, prefixOf } from './key.js'
import { type KeyOf, type MapReading, readMap, sourceOf } from './map-read.js'
import type { BlobLike, BlobSource, Workspace } from './workspace.js'

/** A namespace of the map. Wrong keys and values throw TypeError or RangeError. */
export interface MapHandle<Shape extends object = Record<string, Json>> extends MapReading<Shape> {
  set<K extends KeyOf<Shape>> (key: K, value: Shape[K], options?: { encoding?: Encoding }): void
  /** Returns whether there was a value. */
  delete (key: KeyOf<Shape>): boolean
  update<K extends KeyOf<Shape>> (key: K, fn: (value: Shape[K] | undefined) => Shape[K]): void
  setAll (values: Partial<Shape>): void
  /** Keeps the bytes as a blob and its hash under the key. Answers the hash in hexadecimal. */
  setBlob (key: KeyOf<Shape>, data: Uint8Array | BlobLike, options?: { contentType?: string }): Promise<string>
  getBlob (key: KeyOf<Shape>, options?: { signal?: AbortSignal }): Promise<Uint8Array | undefined>
  /** Calls `listen` with the changes of this namespace. Returns how to stop. */
  observe (listen: (event: MapEvent) => void): () => void
}

/** The map under a namespace: keys are `namespace/key`, or `key` when it is empty. Contents of lists are not shown. */
export function createMap<Shape extends object = Record<string, Json>> (workspace: Workspace, namespace: string): MapHandle<Shape> {
  const prefix = prefixOf(namespace)
  const pathOf = (key: string): string => checkKey(prefix + checkKey(key))
  const settled = sourceOf(() => workspace.document)
  const reading = readMap<Shape>(namespace, {
    held: (path) => workspace.stage.held(path),
    * paths (prefix) {
      const { stage } = workspace
      for (const path of settled.paths(prefix)) if (!stage.has(path)) yield path
      for (const [path, { value }] of stage.keys) if (value !== undefined && path.startsWith(prefix)) yield path
    }
  })

  function set (key: string, value: unknown, { encoding }: { encoding?: Encoding } = {}): void {
    const held = encodeValue(value, encoding)
    const path = pathOf(key)
    workspace.transact(() => workspace.put(path, held))
  }

  return Object.assign(reading, {
    set,
    delete (key: string) {
      const path = pathOf(key)
      if (workspace.stage.held(path).value === undefined) return false
      workspace.transact(() => workspace.put(path, ABSENT))
      return true
    },
    update: <K extends KeyOf<Shape>>(key: K, fn: (value: Shape[K] | undefined) => Shape[K]) => set(key, fn(reading.get(key))),
    setAll (values: Partial<Shape>) {
      if (typeof values !== 'object' || values === null) throw new TypeError('setAll takes an object')
      const held = Object.entries(values).map(([key, value]) => ({ path: pathOf(key), held: encodeValue(value) }))
      workspace.transact(() => { for (const { path, held: value } of held) workspace.put(path, value) })
    },
    async setBlob (key: string, data: Uint8Array | BlobLike, options?: { contentType?: string }) {
      const path = pathOf(key)
      const { origin } = workspace
      const hash = await blobsOf(workspace).put(data, options)
      const value = fromHex(hash, 32)
      if (value === null) throw new TypeError('a blob hash has 64 hexadecimal digits')
      workspace.transact(() => workspace.put(path, { value, blob: true }), { origin })
      return hash
    },
    async getBlob (key: KeyOf<Shape>, options?: { signal?: AbortSignal }) {
      const hash = reading.blob(key)
      return hash === undefined ? undefined : blobsOf(workspace).get(hash, options)
    },
    observe: (listen: (event: MapEvent) => void) => workspace.feed.onMap(prefix, (changes, cause) => listen({ ...cause, changes }))
  })
}

function blobsOf ({ blobs }: Workspace): BlobSource {
  if (blobs === undefined) throw new TypeError('this document keeps no blobs')
  return blobs
}
