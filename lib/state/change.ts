import { equalBytes } from '../protocol/bytes.js'
import type { Held, LwwMap } from './map.js'
import type { Splice, Text } from './text.js'

/** What a document shows otherwise than before, by key. */
export interface Change {
  /** Map keys with what they showed before: undefined for nothing, otherwise the value and whether it was the hash of a blob. */
  maps: Map<string, { old: Uint8Array | undefined, blob: boolean }>
  /** Lists whose items or order may have changed. */
  lists: Set<string>
  /** How each text became what it is: splices one after the other, in UTF-16 units. */
  texts: Map<string, Splice[]>
}

/** Told of changes while a document applies operations. */
export interface Watch {
  /** Before a key of the map shows something else. */
  map (key: string, old: Held | undefined): void
  /** After a list may have changed. */
  list (key: string): void
}

/** Gathers changes between two calls of `take`. */
export interface ChangeLog extends Watch {
  /** Before operations on a text. */
  text (key: string, text: Text): void
  /** What has changed since the last call; applies what waits in the texts. */
  take (map: LwwMap): Change
}

export function createChangeLog (): ChangeLog {
  const observed = new Set<string>()
  const touched = new Map<string, Text>()
  let change = nothing()

  return {
    map (key, old) {
      if (!change.maps.has(key)) change.maps.set(key, { old: old?.value, blob: old?.blob === true })
    },
    list (key) { change.lists.add(key) },
    text (key, text) {
      if (!observed.has(key)) {
        observed.add(key)
        text.observe((splices) => { change.texts.set(key, [...change.texts.get(key) ?? [], ...splices]) })
      }
      touched.set(key, text)
    },
    take (map) {
      for (const text of touched.values()) text.settle()
      touched.clear()
      const taken = change
      change = nothing()
      for (const [key, { old, blob }] of taken.maps) if (same(old, map.get(key)) && blob === map.isBlob(key)) taken.maps.delete(key)
      return taken
    }
  }
}

function nothing (): Change {
  return { maps: new Map(), lists: new Set(), texts: new Map() }
}

function same (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a, b)
}
