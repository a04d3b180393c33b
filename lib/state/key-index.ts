/** Slashes that make a level of their own. A key may consist of nothing but slashes: below this depth keys are told apart by scanning. */
const DEPTH = 16

/** The keys of a map as a tree of their parts between slashes, so that a namespace is listed without a look at the others. */
export interface KeyIndex {
  /** Adds a key that is not there. */
  add (key: string): void
  /** Takes out a key that is there. */
  delete (key: string): void
  /** The keys that start with a prefix. Costs what it yields when the prefix is empty or ends in `/` and is not deeper than 16. */
  under (prefix: string): IterableIterator<string>
  count (prefix: string): number
}

interface Folder {
  /** Keys in this folder and below. */
  count: number
  keys: Set<string>
  folders: Map<string, Folder>
}

export function createKeyIndex (): KeyIndex {
  const root = createFolder()

  /** The folder of a prefix, and whether every key in it starts with the prefix. */
  function locate (prefix: string): { folder: Folder | undefined, exact: boolean } {
    const parts = partsOf(prefix)
    let folder: Folder | undefined = root
    for (const part of parts) folder = folder?.folders.get(part)
    return { folder, exact: parts.reduce((length, part) => length + part.length + 1, 0) === prefix.length }
  }

  function * under (prefix: string): IterableIterator<string> {
    const { folder, exact } = locate(prefix)
    const left = folder === undefined ? [] : [folder]
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      for (const key of next.keys) if (exact || key.startsWith(prefix)) yield key
      left.push(...next.folders.values())
    }
  }

  return {
    add (key) {
      let folder = root
      folder.count++
      for (const part of partsOf(key)) {
        let below = folder.folders.get(part)
        if (below === undefined) folder.folders.set(part, below = createFolder())
        folder = below
        folder.count++
      }
      folder.keys.add(key)
    },
    delete (key) {
      let folder = root
      folder.count--
      for (const part of partsOf(key)) {
        const below = folder.folders.get(part)
        if (below === undefined || --below.count === 0) {
          folder.folders.delete(part)
          return
        }
        folder = below
      }
      folder.keys.delete(key)
    },
    under,
    count (prefix) {
      const { folder, exact } = locate(prefix)
      if (exact) return folder?.count ?? 0
      return [...under(prefix)].length
    }
  }
}

function createFolder (): Folder {
  return { count: 0, keys: new Set(), folders: new Map() }
}

/** What stands before each slash. */
function partsOf (key: string): string[] {
  const parts: string[] = []
  let from = 0
  for (let at = key.indexOf('/'); at >= 0 && parts.length < DEPTH; at = key.indexOf('/', from)) {
    parts.push(key.slice(from, at))
    from = at + 1
  }
  return parts
}
