import { fromHex, fromHexList, toHex } from '../protocol/hex.js'
import { ID_LENGTH } from '../protocol/node.js'
import type { Dag } from './dag.js'
import { DEEPEST } from './mst-hash.js'
import { MAX_TRIE_PATHS, type Trie, type TrieNode } from './mst.js'

/** Which ids only one of two peers holds, as hexadecimal. */
export interface TrieDifference { onlyLocal: string[], onlyRemote: string[] }

interface Descent { dag: Dag, trie: Trie, onlyLocal: Set<string>, onlyRemote: Set<string>, next: string[] }

/**
 * Finds the exact difference to another peer's tree (spec/wire-format.md §11, Descent). It yields the paths to ask for and is resumed
 * with the nodes of the answer; findings add up over all rounds. A false answer can only make the difference wrong, never the descent
 * endless: paths grow by one digit a round.
 */
export function * trieDifference (dag: Dag, trie: Trie): Generator<string[], TrieDifference, readonly TrieNode[]> {
  const d: Descent = { dag, trie, onlyLocal: new Set(), onlyRemote: new Set(), next: [''] }
  while (d.next.length > 0) {
    const round = d.next
    d.next = []
    for (let i = 0; i < round.length; i += MAX_TRIE_PATHS) {
      const asked = round.slice(i, i + MAX_TRIE_PATHS)
      const answer = new Map((yield asked).map((node) => [node.path, node]))
      for (const path of asked) compare(d, path, answer.get(path))
    }
  }
  return { onlyLocal: [...d.onlyLocal].sort(), onlyRemote: [...d.onlyRemote].sort() }
}

function compare (d: Descent, path: string, theirs: TrieNode | undefined): void {
  if (theirs === undefined) return addLocal(d, path)
  const hash = hexOrNone(d.trie.hash(path))
  if (hash === theirs.hash) return
  if (theirs.keys.length > 0) return compareKeys(d, path, theirs.keys)
  for (let digit = 0; digit < 16; digit++) compareChild(d, path + digit.toString(16), theirs.children[digit.toString(16)])
}

function compareKeys (d: Descent, path: string, keys: readonly string[]): void {
  const theirs = new Set<string>()
  for (const id of fromHexList(keys)) {
    theirs.add(toHex(id))
    if (d.dag.indexOf(id) < 0) d.onlyRemote.add(toHex(id))
  }
  for (const id of localIds(d, path)) if (!theirs.has(id)) d.onlyLocal.add(id)
}

function compareChild (d: Descent, path: string, theirs: string | undefined): void {
  if (theirs === undefined) return addLocal(d, path)
  if (hexOrNone(d.trie.hash(path)) !== theirs && path.length <= DEEPEST) d.next.push(path)
}

function hexOrNone (hash: Uint8Array | null): string | null {
  return hash === null ? null : toHex(hash)
}

function addLocal (d: Descent, path: string): void {
  for (const id of localIds(d, path)) d.onlyLocal.add(id)
}

function localIds (d: Descent, path: string): string[] {
  const prefix = fromHex(path.padEnd(2 * ID_LENGTH, '0'), ID_LENGTH)
  return prefix === null ? [] : d.dag.withPrefix(prefix, path.length).map((index) => toHex(d.dag.id(index)))
}
