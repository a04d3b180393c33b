import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { nobleBlake3 } from '../../lib/protocol/blake3.js'
import { fromHex, toHex } from '../../lib/protocol/hex.js'
import { type NodeView, encodeNode, encodeTransaction, scanNode } from '../../lib/protocol/node.js'
import type { Op } from '../../lib/protocol/op.js'
import { cursor } from '../../lib/protocol/postcard.js'
import { type Dag, createDag } from '../../lib/dag/dag.js'
import type { Ranges } from '../../lib/dag/ranges.js'

export const vectors = JSON.parse(readFileSync(new URL('../vectors/vectors-public.json', import.meta.url), 'utf8'))

const AUTHOR = new Uint8Array(32).fill(7)
const SIGNATURE = new Uint8Array(64).fill(9)

export interface About { id?: Uint8Array, lamport?: number, ops?: Op[], salt?: number }

/** A node of these parents. Unless an id is given it is the true one; `salt` makes otherwise equal nodes different. */
export function makeNode (parents: readonly Uint8Array[], about: About = {}): NodeView {
  const { lamport = 1, ops = [], salt = 0 } = about
  const transaction = encodeTransaction({ author: AUTHOR, lamport, wallMs: salt, ops, parents: [...parents] })
  return scanNode(cursor(encodeNode(about.id ?? nobleBlake3.hash(transaction), transaction, SIGNATURE)))
}

/** An id of one repeated byte, as the vectors have them. */
export const repeated = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)

export const hex = (text: string): Uint8Array => {
  const bytes = fromHex(text, text.length / 2)
  if (bytes === null) throw new RangeError(`not hexadecimal: ${text}`)
  return bytes
}

/** Nodes without parents under the given ids. */
export function dagOf (ids: Iterable<Uint8Array>): Dag {
  const dag = createDag(nobleBlake3)
  for (const id of ids) dag.append(makeNode([], { id }))
  return dag
}

/** The shape of a history: for each node the positions of its parents among the earlier ones, repeats allowed. */
export type Shape = readonly (readonly number[])[]

/** Histories with branches, merges, side branches left behind and several roots. */
export function shapes (maxLength: number): fc.Arbitrary<Shape> {
  const picks = fc.oneof(
    { weight: 5, arbitrary: fc.constant([0]) },
    { weight: 3, arbitrary: fc.array(fc.nat(8), { minLength: 1, maxLength: 3 }) },
    { weight: 1, arbitrary: fc.array(fc.nat(1000), { maxLength: 4 }) }
  )
  return fc.array(picks, { maxLength }).map((back) => back.map((steps, i) =>
    i === 0 ? [] : steps.map((step) => i - 1 - step % i)))
}

/** The nodes of a shape; `salt` makes histories of the same shape differ. */
export function nodesOf (shape: Shape, salt = 0): NodeView[] {
  const nodes: NodeView[] = []
  shape.forEach((parents, i) => {
    const ids = parents.map((p) => nodes[p].bytes.subarray(nodes[p].start, nodes[p].start + 32))
    nodes.push(makeNode(ids, { lamport: i + 1, salt: salt * 1e6 + i }))
  })
  return nodes
}

export function grow (nodes: Iterable<NodeView>, dag: Dag = createDag(nobleBlake3)): Dag {
  for (const node of nodes) dag.append(node)
  return dag
}

/** Positions of the ancestors of `from`, themselves included, within a shape. */
export function ancestors (shape: Shape, from: Iterable<number>): Set<number> {
  const found = new Set<number>()
  const open = [...from]
  for (let i = open.pop(); i !== undefined; i = open.pop()) {
    if (found.has(i)) continue
    found.add(i)
    open.push(...shape[i])
  }
  return found
}

/** Positions without a child among the first `length` nodes. */
export function leaves (shape: Shape, length = shape.length): number[] {
  const withChild = new Set(shape.slice(0, length).flat())
  return Array.from({ length }, (_, i) => i).filter((i) => !withChild.has(i))
}

export function indices (ranges: Ranges): number[] {
  const all: number[] = []
  let last = -1
  for (const [from, to] of ranges) {
    if (from <= last || to <= from) throw new Error('ranges are ascending, not empty and coalesced')
    for (let i = from; i < to; i++) all.push(i)
    last = to
  }
  if (all.length !== ranges.count) throw new Error('the count is the number of nodes')
  return all
}

/** Runs a sliced function to its end, calling `between` at every yield. */
export function finish<T> (steps: Generator<void, T>, between: () => void = () => {}): T {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
    between()
  }
}

export const hexes = (ids: Iterable<Uint8Array>): string[] => Array.from(ids, toHex)
export const sortedHexes = (ids: Iterable<Uint8Array>): string[] => hexes(ids).sort()

/** Numbers that look random and are the same in every run. */
export function sequence (seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state
  }
}

/** Different ids spread over all prefixes. */
export function spreadIds (count: number, seed = 1): Uint8Array[] {
  const next = sequence(seed)
  return Array.from({ length: count }, () => {
    const id = new Uint8Array(32)
    for (let i = 0; i < 32; i++) id[i] = next() >>> 24
    return id
  })
}
