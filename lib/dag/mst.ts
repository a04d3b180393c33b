import { type Blake3, HASH_LENGTH } from '../protocol/blake3.js'
import { toHex } from '../protocol/hex.js'
import type { Dag } from './dag.js'
import { DEEPEST, EMPTY_HASH, type TrieHashes, createTrieHashes, digitAt, setHash, split } from './mst-hash.js'

/** A node of the trie in its wire form (spec/wire-format.md §11). */
export interface TrieNode {
  /** The nibble path as it was asked for. */
  path: string
  hash: string
  /** Hashes of the non-empty children by hex digit. */
  children: Record<string, string>
  /** The id of a leaf; empty for any other node. */
  keys: string[]
}

/**
 * The Merkle search tree of a DAG's ids: a 16-way trie over their hex digits. It keeps no ids: those of a path are found in the DAG's
 * own table. Hashes are computed when asked for, and those of the upper levels are kept until an id arrives below them.
 */
export interface Trie {
  /** Hash of all ids; 32 zero bytes when there is none. After k new nodes it costs k short paths. */
  root (): Uint8Array
  /** The nodes of those paths that exist, in the order asked; only the first `MAX_TRIE_PATHS` paths are looked at. */
  nodes (paths: readonly string[]): TrieNode[]
  /** As `nodes`, yielding after every few paths. */
  answer (paths: readonly string[]): Generator<void, TrieNode[]>
  /** Computes what `root` needs, in slices; worth doing once a room is loaded. Later calls find nearly everything done. */
  settle (): Generator<void, Uint8Array>
  /** Hash of the ids below a path, whether or not the trie has a node there; null when there is none. Cheap once settled. */
  hash (path: string): Uint8Array | null
}

/** Paths answered in one request. Each costs up to 1.3 kB of response, so this bounds the answer to about 5 MB. */
export const MAX_TRIE_PATHS = 4096

/** A further level is kept as soon as there are so many ids for each of its paths: four bytes per id at most. */
const IDS_PER_PATH = 8
/** Ids hashed between two yields, at about half a microsecond each. */
const SETTLE_SLICE = 2048
/** Paths answered between two yields, at about 30 microseconds each. */
const ANSWER_SLICE = 32

const STALE = 0
const EMPTY = 1
const SINGLE = 2
const INNER = 3

/** The paths of one length: a state and a hash for each, numbered by their digits. */
interface Level { states: Uint8Array, hashes: Uint8Array }

interface Tree {
  readonly dag: Dag
  readonly hashes: TrieHashes
  readonly levels: Level[]
  /** Nodes of the DAG whose paths have been marked. */
  seen: number
}

export function createTrie (dag: Dag, blake3: Blake3): Trie {
  const t: Tree = { dag, hashes: createTrieHashes(blake3), levels: [], seen: 0 }
  return {
    root: () => drain(settle(t)),
    nodes: (paths) => drain(answer(t, paths)),
    answer: (paths) => answer(t, paths),
    settle: () => settle(t),
    hash (path) {
      const digits = parsePath(path)
      if (digits === null) return null
      markNew(t)
      return hashOf(t, digits)
    }
  }
}

function drain<T> (steps: Generator<void, T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/** Marks what lies above the nodes that came since the last call, and keeps a further level once there are ids enough for it. */
function markNew (t: Tree): void {
  while (t.dag.size >= IDS_PER_PATH * 16 ** t.levels.length || t.levels.length === 0) {
    const paths = 16 ** t.levels.length
    t.levels.push({ states: new Uint8Array(paths), hashes: new Uint8Array(paths * HASH_LENGTH) })
  }
  for (; t.seen < t.dag.size; t.seen++) {
    const id = t.dag.id(t.seen)
    let number = 0
    for (let depth = 0; depth < t.levels.length; depth++) {
      t.levels[depth].states[number] = STALE
      number = number * 16 + digitAt(id, depth)
    }
  }
}

function * settle (t: Tree): Generator<void, Uint8Array> {
  markNew(t)
  const slices = Math.max(0, Math.ceil(Math.log(t.dag.size / SETTLE_SLICE) / Math.log(16)))
  if (slices > 0 && t.levels[0].states[0] === STALE) yield * settleBelow(t, slices, 0, 0)
  resolve(t, 0, 0)
  return hashAt(t, 0, 0).slice()
}

/** Goes down to the stale paths of the length `slices`, each of which has few enough ids to be hashed at once. */
function * settleBelow (t: Tree, slices: number, depth: number, number: number): Generator<void, void> {
  const { states } = t.levels[depth + 1]
  for (let child = number * 16; child < number * 16 + 16; child++) {
    if (states[child] !== STALE) continue
    if (depth + 1 < slices) {
      yield * settleBelow(t, slices, depth + 1, child)
    } else {
      resolve(t, slices, child)
      yield
      markNew(t)
    }
  }
}

/** Makes the hash of a kept path valid and returns its state. */
function resolve (t: Tree, depth: number, number: number): number {
  const { states, hashes } = t.levels[depth]
  if (states[number] === STALE) {
    const below = depth + 1 < t.levels.length ? resolveChildren(t, depth, number) : hashLowest(t, depth, number)
    states[number] = below.state
    hashes.set(below.hash, number * HASH_LENGTH)
  }
  return states[number]
}

/** A path with a single id has the hash of that id, which is the hash of its only child too. */
function resolveChildren (t: Tree, depth: number, number: number): { state: number, hash: Uint8Array } {
  const parts: (Uint8Array | null)[] = []
  let state = EMPTY
  let only = EMPTY_HASH
  for (let digit = 0; digit < 16; digit++) {
    const child = resolve(t, depth + 1, number * 16 + digit)
    const hash = child === EMPTY ? null : hashAt(t, depth + 1, number * 16 + digit)
    parts.push(hash)
    if (hash === null) continue
    state = state === EMPTY ? child : INNER
    only = hash
  }
  return { state, hash: state === INNER ? t.hashes.inner(parts) : only }
}

function hashLowest (t: Tree, depth: number, number: number): { state: number, hash: Uint8Array } {
  const ids = idsBelow(t, digitsOf(depth, number))
  const state = ids.length === 0 ? EMPTY : ids.length === 1 ? SINGLE : INNER
  return { state, hash: setHash(ids, depth, t.hashes) ?? EMPTY_HASH }
}

function hashAt (t: Tree, depth: number, number: number): Uint8Array {
  return t.levels[depth].hashes.subarray(number * HASH_LENGTH, (number + 1) * HASH_LENGTH)
}

function digitsOf (depth: number, number: number): number[] {
  return Array.from({ length: depth }, (_, i) => Math.floor(number / 16 ** (depth - 1 - i)) % 16)
}

function idsBelow (t: Tree, digits: readonly number[]): Uint8Array[] {
  const prefix = new Uint8Array(HASH_LENGTH)
  digits.forEach((digit, i) => { prefix[i >> 1] |= (i & 1) === 0 ? digit << 4 : digit })
  return t.dag.withPrefix(prefix, digits.length).map((index) => t.dag.id(index))
}

function hashOf (t: Tree, digits: readonly number[]): Uint8Array | null {
  const depth = digits.length
  if (depth >= t.levels.length) return setHash(idsBelow(t, digits), depth, t.hashes)
  const number = numberOf(digits)
  return resolve(t, depth, number) === EMPTY ? null : hashAt(t, depth, number)
}

function numberOf (digits: readonly number[]): number {
  return digits.reduce((number, digit) => number * 16 + digit, 0)
}

/** The digits of a path, or null when it is no path. */
function parsePath (path: string): number[] | null {
  if (path.length > DEEPEST || !/^[0-9a-f]*$/i.test(path)) return null
  return Array.from(path, (digit) => parseInt(digit, 16))
}

function * answer (t: Tree, paths: readonly string[]): Generator<void, TrieNode[]> {
  yield * settle(t)
  const nodes: TrieNode[] = []
  let left = ANSWER_SLICE
  for (const path of paths.slice(0, MAX_TRIE_PATHS)) {
    if (left-- === 0) {
      yield
      left = ANSWER_SLICE
    }
    const node = nodeAt(t, path)
    if (node !== null) nodes.push(node)
  }
  return nodes
}

/** There is a node at a path when ids lie below it, and more than one below its parent: a single id is a leaf where it is first alone. */
function nodeAt (t: Tree, path: string): TrieNode | null {
  const digits = parsePath(path)
  if (digits === null) return null
  markNew(t)
  if (digits.length > 0 && !isInner(t, digits.slice(0, -1))) return null
  const hash = hashOf(t, digits)
  if (hash === null) return null
  if (!isInner(t, digits)) return { path, hash: toHex(hash), children: {}, keys: idsBelow(t, digits).map(toHex) }
  return { path, hash: toHex(hash), children: childrenOf(t, digits), keys: [] }
}

/** Whether several ids lie below a path. */
function isInner (t: Tree, digits: readonly number[]): boolean {
  if (digits.length >= t.levels.length) return idsBelow(t, digits).length > 1
  return resolve(t, digits.length, numberOf(digits)) === INNER
}

function childrenOf (t: Tree, digits: readonly number[]): Record<string, string> {
  const depth = digits.length + 1
  const children: Record<string, string> = {}
  const parts = depth < t.levels.length ? null : split(idsBelow(t, digits), digits.length)
  for (let digit = 0; digit < 16; digit++) {
    const hash = parts === null ? hashOf(t, [...digits, digit]) : setHash(parts[digit], depth, t.hashes)
    if (hash !== null) children[digit.toString(16)] = toHex(hash)
  }
  return children
}
