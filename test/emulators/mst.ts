import type { Blake3 } from '../../lib/protocol/blake3.js'
import { concat } from '../../lib/protocol/bytes.js'
import { fromHex, toHex } from '../../lib/protocol/hex.js'
import { utf8Encode } from '../../lib/protocol/postcard.js'

/** A node of the trie as it travels in `mst-response` (spec/wire-format.md §11). */
export interface MstNode { path: string, hash: string, children: Record<string, string>, keys: string[] }

export const EMPTY_ROOT = '0'.repeat(64)
const NIBBLES = '0123456789abcdef'

/** The trie over a set of ids, built from scratch for every question: these are emulators of clients that do just that. */
export interface Mst {
  root (): string
  /** The node at a path, or null when no id has that prefix. */
  node (path: string): MstNode | null
  under (path: string): string[]
}

/** The hash of ids that share the path of this length; zeros for none. */
function subtreeHash (blake3: Blake3, ids: string[], depth: number): string {
  if (ids.length === 0) return EMPTY_ROOT
  if (ids.length === 1 || depth >= 64) return toHex(blake3.keyed(LEAF)(concat(ids.map((id) => fromHex(id, 32) ?? new Uint8Array(32)))))
  const children = Array.from(NIBBLES, (c) => fromHex(subtreeHash(blake3, ids.filter((id) => id[depth] === c), depth + 1), 32) ?? new Uint8Array(32))
  return toHex(blake3.keyed(INTERNAL)(concat(children)))
}

const LEAF = utf8Encode('nodalmerge-mst-leaf-000000000000')
const INTERNAL = utf8Encode('nodalmerge-mst-internal-00000000')
/** The keys under which `loadBlake3` has to prepare hashers, so that tries of 10,000 ids stay cheap. */
export const MST_KEYS = [LEAF, INTERNAL]

export function createMst (blake3: Blake3, all: Iterable<string>): Mst {
  const ids = [...all].sort()
  const under = (path: string): string[] => ids.filter((id) => id.startsWith(path))
  return {
    root: () => subtreeHash(blake3, ids, 0),
    under,
    node (path) {
      const own = under(path)
      if (own.length === 0) return null
      const hash = subtreeHash(blake3, own, path.length)
      if (own.length === 1) return { path, hash, children: {}, keys: own }
      const children = Object.fromEntries(Array.from(NIBBLES).flatMap((c) => {
        const below = own.filter((id) => id[path.length] === c)
        return below.length === 0 ? [] : [[c, subtreeHash(blake3, below, path.length + 1)]]
      }))
      return { path, hash, children, keys: [] }
    }
  }
}

export interface Findings { next: string[], onlyMine: string[], onlyTheirs: string[] }

const unique = (list: string[]): string[] => [...new Set(list)].sort()

/**
 * One round of the descent as the D-client runs it (spec/client.md §5.5), with its losses: a differing child is descended only when
 * the own subtree has at least two ids; otherwise the own key counts as "only mine" and the server's ids below are never learned,
 * unless the same response happens to hold the child's node.
 */
export function descend (mine: Mst, response: readonly MstNode[]): Findings {
  const byPath = new Map(response.map((node) => [node.path, node]))
  const found: Findings = { next: [], onlyMine: [], onlyTheirs: [] }
  for (const node of response) {
    if (node.keys.length > 0) compareKeys(mine.under(node.path), node.keys, found)
    else for (const c of NIBBLES) compareChild(mine, node, node.path + c, byPath, found)
  }
  return { next: unique(found.next), onlyMine: unique(found.onlyMine), onlyTheirs: unique(found.onlyTheirs) }
}

function compareKeys (own: string[], theirs: string[], found: Findings): void {
  found.onlyTheirs.push(...theirs.filter((id) => !own.includes(id)))
  found.onlyMine.push(...own.filter((id) => !theirs.includes(id)))
}

function compareChild (mine: Mst, node: MstNode, path: string, byPath: ReadonlyMap<string, MstNode>, found: Findings): void {
  if ((mine.node(path)?.hash ?? null) === (node.children[path.slice(-1)] ?? null)) return
  const own = mine.under(path)
  if (own.length >= 2) found.next.push(path)
  else compareKeys(own, byPath.get(path)?.keys ?? [], found)
}
