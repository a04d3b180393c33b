import assert from 'node:assert/strict'
import type { NodeStore } from '../store/node-store.js'

/** What a rule works with. */
export interface NodeStoreBench {
  /** Open, over empty storage. */
  store: NodeStore
  /** Not opened. */
  another: (() => Promise<NodeStore>) | null
}

export interface NodeStoreRule { title: string, run (bench: NodeStoreBench): Promise<void> }

/** All nodes of a room above `after`, for stores in which nothing is damaged. */
export async function loadAll (store: NodeStore, room: string, after = 0): Promise<Uint8Array[]> {
  const nodes: Uint8Array[] = []
  let last = after
  for await (const chunk of store.load(room, after, (seq, cause) => { throw new Error(`seq ${seq} is damaged`, { cause }) })) {
    nodes.push(...chunk.nodes)
    last += chunk.nodes.length
    assert.equal(chunk.last, last, 'the last seq of a chunk counts its nodes')
  }
  return nodes
}

/** Every room with its last seq, by room. */
export async function allRooms (store: NodeStore): Promise<Map<string, number>> {
  const rooms = new Map<string, number>()
  for await (const { room, seq } of store.rooms()) {
    assert.ok(!rooms.has(room), 'a room is listed once')
    rooms.set(room, seq)
  }
  return rooms
}

/** Appends to one room. */
export async function appendTo (store: NodeStore, room: string, after: number, nodes: Uint8Array[]): Promise<{ last: number, kept: number[] }> {
  const answers = await store.append([{ room, after, nodes }])
  assert.equal(answers.length, 1)
  const { last, kept } = answers[0]
  assert.equal(answers[0].room, room)
  return { last, kept }
}

/** Whether two lists hold the same bytes; `deepEqual` would compare a Buffer with a Uint8Array by class. */
export function sameNodes (found: readonly Uint8Array[], expected: readonly Uint8Array[]): void {
  assert.equal(found.length, expected.length, 'as many nodes')
  found.forEach((node, i) => { assert.ok(Buffer.compare(node, expected[i]) === 0, `node ${i} is byte for byte the same`) })
}
