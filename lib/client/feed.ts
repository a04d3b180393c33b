import type { ChangeEvent, ListChange, MapChange, TextEvent } from './event.js'
import type { Cause } from './change.js'

type Stop = () => void

/** Brings changes to those who asked for them, one event after the other: what a listener writes is told when all have heard of the first. */
export interface Feed {
  publish (event: ChangeEvent): void
  on (listen: (event: ChangeEvent) => void): Stop
  /** Changes of keys that start with a prefix: empty, or one that ends in a slash. */
  onMap (prefix: string, listen: (changes: readonly MapChange[], cause: Cause) => void): Stop
  onText (key: string, listen: (event: TextEvent) => void): Stop
  onList (key: string, listen: (change: ListChange, cause: Cause) => void): Stop
}

/** `onError` gets what a listener throws; the others are still told. */
export function createFeed (onError: (error: unknown) => void): Feed {
  const all = new Set<(event: ChangeEvent) => void>()
  const maps = keyed<(changes: readonly MapChange[], cause: Cause) => void>()
  const texts = keyed<(event: TextEvent) => void>()
  const lists = keyed<(change: ListChange, cause: Cause) => void>()
  const waiting: ChangeEvent[] = []
  let telling = false

  function tell (run: () => void): void {
    try {
      run()
    } catch (error) {
      onError(error)
    }
  }

  function deliver (event: ChangeEvent): void {
    const cause: Cause = { source: event.source, ...('origin' in event ? { origin: event.origin } : {}) }
    for (const [prefix, changes] of byPrefix(event.maps, maps.has)) {
      for (const listen of maps.of(prefix)) tell(() => listen(changes, cause))
    }
    for (const { key, splices } of event.texts) for (const listen of texts.of(key)) tell(() => listen({ ...cause, splices }))
    for (const change of event.lists) for (const listen of lists.of(change.key)) tell(() => listen(change, cause))
    for (const listen of [...all]) tell(() => listen(event))
  }

  return {
    publish (event) {
      waiting.push(event)
      if (telling) return
      telling = true
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) deliver(next)
      telling = false
    },
    on (listen) {
      const own = (event: ChangeEvent): void => listen(event)
      all.add(own)
      return () => { all.delete(own) }
    },
    onMap: maps.add,
    onText: texts.add,
    onList: lists.add
  }
}

/** Changes by each prefix that somebody listens to; `key` is what follows it. */
function byPrefix (changes: readonly MapChange[], wanted: (prefix: string) => boolean): Map<string, MapChange[]> {
  const found = new Map<string, MapChange[]>()
  for (const change of changes) {
    const { path } = change
    for (let end = 0; ; end = path.indexOf('/', end) + 1) {
      const prefix = path.slice(0, end)
      if (wanted(prefix)) {
        const own = named(change, path.slice(end))
        const others = found.get(prefix)
        if (others === undefined) found.set(prefix, [own])
        else others.push(own)
      }
      if (!path.includes('/', end)) break
    }
  }
  return found
}

function named (change: MapChange, key: string): MapChange {
  const { path, op } = change
  return { path, key, op, get value () { return change.value }, get old () { return change.old } }
}

/** Listeners by key. */
function keyed<T extends (...values: never[]) => void> () {
  const byKey = new Map<string, Set<{ listen: T }>>()
  return {
    has: (key: string): boolean => byKey.has(key),
    of: (key: string): T[] => [...byKey.get(key) ?? []].map(({ listen }) => listen),
    add (key: string, listen: T): Stop {
      const own = { listen }
      let listeners = byKey.get(key)
      if (listeners === undefined) byKey.set(key, listeners = new Set())
      listeners.add(own)
      return () => {
        listeners.delete(own)
        if (listeners.size === 0 && byKey.get(key) === listeners) byKey.delete(key)
      }
    }
  }
}
