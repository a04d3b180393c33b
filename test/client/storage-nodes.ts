import { encodeNode, encodeTransaction, idOf, type NodeView } from '../../lib/protocol/node.js'
import { scanPack } from '../../lib/protocol/pack.js'
import { nobleBlake3 } from '../../lib/protocol/blake3.js'
import type { RoomStorage } from '../../lib/client/storage.js'

/** An encoded node whose id is its hash; the signature is filler, which no storage looks into. */
export function node (lamport: number, { author = 1, parents = [], bytes = 16 }: { author?: number, parents?: Uint8Array[], bytes?: number } = {}): Uint8Array {
  const transaction = encodeTransaction({
    author: new Uint8Array(32).fill(author),
    lamport,
    wallMs: 0,
    ops: [{ type: 'map-set', key: `key ${lamport}`, value: new Uint8Array(bytes).fill(lamport) }],
    parents
  })
  return encodeNode(nobleBlake3.hash(transaction), transaction, new Uint8Array(64).fill(9))
}

export const id = (bytes: Uint8Array): Uint8Array => bytes.slice(0, 32)

/** A chain: each node is the parent of the next. */
export function chain (count: number, from = 1, author = 1): Uint8Array[] {
  const nodes: Uint8Array[] = []
  for (let i = 0; i < count; i++) nodes.push(node(from + i, { author, parents: nodes.slice(-1).map(id) }))
  return nodes
}

export async function loaded (room: RoomStorage): Promise<NodeView[]> {
  const nodes: NodeView[] = []
  for await (const pack of room.load()) nodes.push(...scanPack(pack))
  return nodes
}

export async function loadedPacks (room: RoomStorage): Promise<Uint8Array[]> {
  const packs: Uint8Array[] = []
  for await (const pack of room.load()) packs.push(pack)
  return packs
}

export const hexes = (nodes: ReadonlyArray<NodeView | Uint8Array>): string[] =>
  nodes.map((each) => Buffer.from(each instanceof Uint8Array ? id(each) : idOf(each)).toString('hex'))
