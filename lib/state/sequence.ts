import { grown } from './columns.js'

/**
 * The characters of one text in their order, tombstones included: a B-tree whose leaves hold runs. A run is a range of consecutive
 * slots (a slot is a character's fixed number) that stand side by side and are all visible or all hidden. Every node of the tree
 * keeps three sums over what lies below it; every slot knows its leaf. No object per character, run or node.
 */
export interface Sequence {
  /** Scalar value of every slot. */
  code: Uint32Array
  /** Leaf of every slot, or NOWHERE while the character is not placed. */
  leaf: Uint32Array
  /** FANOUT entries per node: the first slot of a run in a leaf, a child in a branch. */
  entry: Uint32Array
  /** Leaf entries: the length of the run in scalars, negative when hidden. */
  size: Int32Array
  /** Leaf entries: how many scalars of the run take two UTF-16 units. */
  wide: Uint32Array
  /** Entries in use, height above the leaves and parent of every node. */
  count: Uint8Array
  level: Uint8Array
  parent: Uint32Array
  /** Sums of every node: all scalars, visible scalars, visible UTF-16 units. */
  total: Uint32Array
  visible: Uint32Array
  units: Uint32Array
  root: number
  nodes: number
  free: number[]
  /** The place that `find` and the walks leave behind: `atOffset` scalars into entry `atRun` of `atLeaf`. */
  atLeaf: number
  atRun: number
  atOffset: number
}

/** Runs per leaf and children per branch: a power of two; larger makes scans slower, smaller the tree higher. */
export const FANOUT = 32
export const NOWHERE = 0xffffffff
/** Longest run that holds a character outside the BMP: converting positions inside such a run is a scan. */
export const MIXED_RUN = 512

export function createSequence (): Sequence {
  const node = () => new Uint32Array(8)
  const s: Sequence = {
    code: new Uint32Array(64),
    leaf: new Uint32Array(64),
    entry: new Uint32Array(8 * FANOUT),
    size: new Int32Array(8 * FANOUT),
    wide: new Uint32Array(8 * FANOUT),
    count: new Uint8Array(8),
    level: new Uint8Array(8),
    parent: node(),
    total: node(),
    visible: node(),
    units: node(),
    root: 0,
    nodes: 1,
    free: [],
    atLeaf: 0,
    atRun: 0,
    atOffset: 0
  }
  s.parent[0] = NOWHERE
  return s
}

function newNode (s: Sequence, level: number): number {
  const node = s.free.pop() ?? s.nodes++
  if (node >= s.count.length) growNodes(s, node + 1)
  s.count[node] = 0
  s.level[node] = level
  s.parent[node] = NOWHERE
  s.total[node] = s.visible[node] = s.units[node] = 0
  return node
}

function growNodes (s: Sequence, needed: number): void {
  s.entry = grown(s.entry, needed * FANOUT)
  s.size = grown(s.size, needed * FANOUT)
  s.wide = grown(s.wide, needed * FANOUT)
  s.count = grown(s.count, needed)
  s.level = grown(s.level, needed)
  s.parent = grown(s.parent, needed)
  s.total = grown(s.total, needed)
  s.visible = grown(s.visible, needed)
  s.units = grown(s.units, needed)
}

/** How many of `n` slots from `slot` take two UTF-16 units. */
export function wideIn (s: Sequence, slot: number, n: number): number {
  let wide = 0
  for (let i = slot; i < slot + n; i++) if (s.code[i] > 0xffff) wide++
  return wide
}

/** Adds to the sums of a node and of all above it. */
function addSums (s: Sequence, node: number, total: number, visible: number, units: number): void {
  for (; node !== NOWHERE; node = s.parent[node]) {
    s.total[node] += total
    s.visible[node] += visible
    s.units[node] += units
  }
}

/** Sets the place to a placed character: entry `atRun` of `atLeaf`, `atOffset` scalars in. */
export function find (s: Sequence, slot: number): void {
  const leaf = s.leaf[slot]
  const base = leaf * FANOUT
  let run = leaf === s.atLeaf && s.atRun < s.count[leaf] && within(s, base + s.atRun, slot) ? s.atRun : 0
  while (!within(s, base + run, slot)) run++
  s.atLeaf = leaf
  s.atRun = run
  s.atOffset = slot - s.entry[base + run]
}

function within (s: Sequence, at: number, slot: number): boolean {
  const from = s.entry[at]
  return slot >= from && slot < from + Math.abs(s.size[at])
}

export function isVisible (s: Sequence, slot: number): boolean {
  find(s, slot)
  return s.size[s.atLeaf * FANOUT + s.atRun] > 0
}

export function indexInParent (s: Sequence, node: number): number {
  const base = s.parent[node] * FANOUT
  let i = 0
  while (s.entry[base + i] !== node) i++
  return i
}

/** The next leaf to the right whose `sums` is not zero, or NOWHERE. */
export function nextLeaf (s: Sequence, node: number, sums: Uint32Array): number {
  for (let parent = s.parent[node]; parent !== NOWHERE; node = parent, parent = s.parent[node]) {
    const base = parent * FANOUT
    for (let i = indexInParent(s, node) + 1; i < s.count[parent]; i++) {
      if (sums[s.entry[base + i]] > 0) return firstLeaf(s, s.entry[base + i], sums)
    }
  }
  return NOWHERE
}

/** The leftmost leaf below `node` whose `sums` is not zero; `node` itself must not be zero there. */
export function firstLeaf (s: Sequence, node: number, sums: Uint32Array): number {
  while (s.level[node] > 0) {
    let at = node * FANOUT
    while (sums[s.entry[at]] === 0) at++
    node = s.entry[at]
  }
  return node
}

function openEntry (s: Sequence, node: number, index: number): void {
  const from = node * FANOUT + index
  const end = node * FANOUT + s.count[node]++
  for (let i = end; i > from; i--) {
    s.entry[i] = s.entry[i - 1]
    s.size[i] = s.size[i - 1]
    s.wide[i] = s.wide[i - 1]
  }
}

function closeEntry (s: Sequence, node: number, index: number): void {
  const end = node * FANOUT + --s.count[node]
  for (let i = node * FANOUT + index; i < end; i++) {
    s.entry[i] = s.entry[i + 1]
    s.size[i] = s.size[i + 1]
    s.wide[i] = s.wide[i + 1]
  }
}

/** Halves a node that is full or nearly so; its right half goes to a new sibling. Leaves the place where it was, in whichever half that is now. */
function split (s: Sequence, node: number): void {
  if (node === s.root) addRoot(s)
  const parent = s.parent[node]
  if (s.count[parent] === FANOUT) { split(s, parent); split(s, node); return }
  const sibling = newNode(s, s.level[node])
  const half = FANOUT / 2
  const moved = s.count[node] - half
  const from = node * FANOUT + half
  const to = sibling * FANOUT
  s.entry.copyWithin(to, from, from + moved)
  s.size.copyWithin(to, from, from + moved)
  s.wide.copyWithin(to, from, from + moved)
  s.count[node] = half
  s.count[sibling] = moved
  s.parent[sibling] = parent
  if (s.level[node] === 0) adoptRuns(s, sibling)
  else adoptChildren(s, sibling)
  s.total[node] -= s.total[sibling]
  s.visible[node] -= s.visible[sibling]
  s.units[node] -= s.units[sibling]
  const index = indexInParent(s, node) + 1
  openEntry(s, parent, index)
  s.entry[parent * FANOUT + index] = sibling
  if (s.atLeaf === node && s.atRun >= half) { s.atLeaf = sibling; s.atRun -= half }
}

function addRoot (s: Sequence): void {
  const old = s.root
  const root = newNode(s, s.level[old] + 1)
  s.entry[root * FANOUT] = old
  s.count[root] = 1
  s.total[root] = s.total[old]
  s.visible[root] = s.visible[old]
  s.units[root] = s.units[old]
  s.parent[old] = root
  s.root = root
}

function adoptRuns (s: Sequence, leaf: number): void {
  for (let at = leaf * FANOUT, end = at + s.count[leaf]; at < end; at++) {
    const size = Math.abs(s.size[at])
    s.leaf.fill(leaf, s.entry[at], s.entry[at] + size)
    s.total[leaf] += size
    if (s.size[at] > 0) {
      s.visible[leaf] += size
      s.units[leaf] += size + s.wide[at]
    }
  }
}

function adoptChildren (s: Sequence, branch: number): void {
  for (let at = branch * FANOUT, end = at + s.count[branch]; at < end; at++) {
    const child = s.entry[at]
    s.parent[child] = branch
    s.total[branch] += s.total[child]
    s.visible[branch] += s.visible[child]
    s.units[branch] += s.units[child]
  }
}

/** Whether run `at + 1` continues run `at` slot by slot. */
function adjoins (s: Sequence, at: number): boolean {
  return s.entry[at + 1] === s.entry[at] + Math.abs(s.size[at])
}

/** Whether a run of `n` scalars, `wide` of them wide, is not too long to scan. */
function fits (n: number, wide: number): boolean {
  return wide === 0 || n <= MIXED_RUN
}

/** Joins entry `index` of a leaf with the next one where they are one run. */
function join (s: Sequence, leaf: number, index: number): void {
  const at = leaf * FANOUT + index
  if (index < 0 || index + 1 >= s.count[leaf] || (s.size[at] > 0) !== (s.size[at + 1] > 0)) return
  if (!adjoins(s, at) || !fits(Math.abs(s.size[at] + s.size[at + 1]), s.wide[at] + s.wide[at + 1])) return
  s.size[at] += s.size[at + 1]
  s.wide[at] += s.wide[at + 1]
  closeEntry(s, leaf, index + 1)
}

/** Cuts the run at the place into `[0, offset)` and the rest; the leaf must have room for one more entry. */
function cut (s: Sequence, leaf: number, index: number, offset: number): void {
  openEntry(s, leaf, index)
  const at = leaf * FANOUT + index
  const sign = s.size[at + 1] > 0 ? 1 : -1
  const wide = s.wide[at + 1] === 0 ? 0 : wideIn(s, s.entry[at + 1], offset)
  s.entry[at] = s.entry[at + 1]
  s.size[at] = sign * offset
  s.wide[at] = wide
  s.entry[at + 1] += offset
  s.size[at + 1] -= sign * offset
  s.wide[at + 1] -= wide
}

/**
 * Places `n` slots from `slot` at the place: `atOffset` scalars into its run, which is its end, its middle, or 0 at the very start.
 * Afterwards the place is the end of what was placed. `wide` counts the wide scalars among them; with any, `n` is at most MIXED_RUN.
 */
export function placeRun (s: Sequence, slot: number, n: number, wide: number, hidden: boolean): void {
  if (s.count[s.atLeaf] + 2 > FANOUT) split(s, s.atLeaf)
  const leaf = s.atLeaf
  const at = leaf * FANOUT + s.atRun
  let index = s.atRun
  if (s.atOffset > 0 && s.atOffset < Math.abs(s.size[at])) cut(s, leaf, index, s.atOffset)
  if (s.atOffset > 0) index++
  if (n === 1) s.leaf[slot] = leaf
  else s.leaf.fill(leaf, slot, slot + n)
  addSums(s, leaf, n, hidden ? 0 : n, hidden ? 0 : n + wide)
  if (s.atOffset > 0 && extend(s, at, slot, n, wide, hidden)) {
    s.atOffset += n
    join(s, leaf, index - 1)
    return
  }
  openEntry(s, leaf, index)
  s.entry[leaf * FANOUT + index] = slot
  s.size[leaf * FANOUT + index] = hidden ? -n : n
  s.wide[leaf * FANOUT + index] = wide
  s.atRun = index
  s.atOffset = n
  join(s, leaf, index)
}

function extend (s: Sequence, at: number, slot: number, n: number, wide: number, hidden: boolean): boolean {
  const size = s.size[at]
  if ((size < 0) !== hidden || slot !== s.entry[at] + Math.abs(size)) return false
  if (!fits(Math.abs(size) + n, s.wide[at] + wide)) return false
  s.size[at] += hidden ? -n : n
  s.wide[at] += wide
  return true
}

/** Takes `n` placed slots from `slot` out of the sequence again. */
export function removeSlots (s: Sequence, slot: number, n: number): void {
  while (n > 0) {
    find(s, slot)
    const taken = Math.min(n, Math.abs(s.size[s.atLeaf * FANOUT + s.atRun]) - s.atOffset)
    isolate(s, taken)
    const leaf = s.atLeaf
    const at = leaf * FANOUT + s.atRun
    const hidden = s.size[at] < 0
    addSums(s, leaf, -taken, hidden ? 0 : -taken, hidden ? 0 : -taken - s.wide[at])
    closeEntry(s, leaf, s.atRun)
    s.leaf.fill(NOWHERE, slot, slot + taken)
    if (s.count[leaf] === 0) removeNode(s, leaf)
    else join(s, leaf, s.atRun - 1)
    slot += taken
    n -= taken
  }
}

/** Makes the `n` slots at the place, which lie within one run, a run of their own and sets the place to it. */
function isolate (s: Sequence, n: number): void {
  if (s.count[s.atLeaf] + 2 > FANOUT) split(s, s.atLeaf)
  const leaf = s.atLeaf
  if (s.atOffset + n < Math.abs(s.size[leaf * FANOUT + s.atRun])) cut(s, leaf, s.atRun, s.atOffset + n)
  if (s.atOffset > 0) cut(s, leaf, s.atRun++, s.atOffset)
  s.atOffset = 0
}

function removeNode (s: Sequence, node: number): void {
  const parent = s.parent[node]
  s.atLeaf = s.atRun = s.atOffset = 0
  if (parent === NOWHERE) { s.level[node] = 0; s.atLeaf = node; return }
  closeEntry(s, parent, indexInParent(s, node))
  s.free.push(node)
  s.count[node] = 0
  if (s.count[parent] === 0) removeNode(s, parent)
  while (s.level[s.root] > 0 && s.count[s.root] === 1) lowerRoot(s)
}

function lowerRoot (s: Sequence): void {
  s.free.push(s.root)
  s.root = s.entry[s.root * FANOUT]
  s.parent[s.root] = NOWHERE
}

/** Hides or shows again the `n` slots from `slot`, which lie within the run at the place and have the other state. */
export function paint (s: Sequence, slot: number, n: number): void {
  const leaf = s.atLeaf
  const at = leaf * FANOUT + s.atRun
  const sign = s.size[at] > 0 ? -1 : 1
  const wide = s.wide[at] === 0 ? 0 : wideIn(s, slot, n)
  if (shiftRight(s, at, n, wide) || shiftLeft(s, at, n, wide)) {
    addSums(s, leaf, 0, sign * n, sign * (n + wide))
    if (s.size[at] === 0) dropEmpty(s, leaf, s.atRun)
    return
  }
  isolate(s, n)
  addSums(s, s.atLeaf, 0, sign * n, sign * (n + wide))
  const own = s.atLeaf * FANOUT + s.atRun
  s.size[own] = -s.size[own]
}

/** Moves the border to the next run instead of cutting: what backspacing and its undoing do. */
function shiftRight (s: Sequence, at: number, n: number, wide: number): boolean {
  const size = s.size[at]
  if (s.atOffset + n !== Math.abs(size) || s.atRun + 1 >= s.count[s.atLeaf]) return false
  if ((s.size[at + 1] > 0) === (size > 0) || !adjoins(s, at) || !fits(n + Math.abs(s.size[at + 1]), wide + s.wide[at + 1])) return false
  const sign = size > 0 ? 1 : -1
  s.size[at] -= sign * n
  s.wide[at] -= wide
  s.entry[at + 1] -= n
  s.size[at + 1] -= sign * n
  s.wide[at + 1] += wide
  return true
}

/** Moves the border to the previous run: what forward deleting does. */
function shiftLeft (s: Sequence, at: number, n: number, wide: number): boolean {
  const size = s.size[at]
  if (s.atOffset > 0 || s.atRun === 0) return false
  if ((s.size[at - 1] > 0) === (size > 0) || !adjoins(s, at - 1) || !fits(n + Math.abs(s.size[at - 1]), wide + s.wide[at - 1])) return false
  const sign = size > 0 ? 1 : -1
  s.size[at] -= sign * n
  s.wide[at] -= wide
  s.entry[at] += n
  s.size[at - 1] -= sign * n
  s.wide[at - 1] += wide
  return true
}

function dropEmpty (s: Sequence, leaf: number, index: number): void {
  closeEntry(s, leaf, index)
  join(s, leaf, index - 1)
  s.atRun = 0
}
