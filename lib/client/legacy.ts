import { createIdTable, findId, insertId } from '../dag/id-table.js'
import { fromBase64 } from '../protocol/base64.js'
import type { Blake3 } from '../protocol/blake3.js'
import { equalBytes } from '../protocol/bytes.js'
import { fromHex, toHex } from '../protocol/hex.js'
import { type NodeView, authorOf, bytesOf, idOf, parentOf, signatureOf, transactionOf } from '../protocol/node.js'
import { scanPack } from '../protocol/pack.js'
import { breathe } from './breath.js'
import { loadEd25519 } from './ed25519.js'
import { createHash } from './hash.js'
import { type LegacyDatabase, openLegacy } from './legacy-database.js'
import type { LegacyRoom } from './storage-import.js'

/** Nodes hashed between two breaths. */
const AT_ONCE = 500

/**
 * What the original client kept of a room in its own IndexedDB database (spec/client.md §2.14), or null. Nodes and blobs that do not
 * hold what their id or hash says are left out, and so is what follows from such a node: that client took its own word for them.
 */
export async function readLegacy (room: string): Promise<LegacyRoom | null> {
  const database = await openLegacy()
  if (database === null) return null
  const blake3 = createHash()
  await blake3.ready
  const nodes = await genuine(readPack(await database.get('nodes', room)), blake3)
  return {
    nodes: nodes.map((node) => bytesOf(node)),
    blobs: () => readBlobs(database, room, blake3),
    close: () => database.close()
  }
}

async function * readBlobs (database: LegacyDatabase, room: string, blake3: Blake3): AsyncGenerator<[string, Uint8Array], void, void> {
  for (const key of await database.keys('blobs', `${room}:`)) {
    const hash = fromHex(key.slice(room.length + 1), 32)
    const value = hash === null ? null : await database.get('blobs', key)
    const bytes = value instanceof ArrayBuffer ? new Uint8Array(value) : value
    if (hash !== null && bytes instanceof Uint8Array && equalBytes(blake3.hash(bytes), hash)) yield [toHex(hash), bytes]
  }
}

/** A pack that cannot be read is none of ours: the room opens without it. */
function readPack (text: unknown): NodeView[] {
  if (typeof text !== 'string') return []
  try {
    return scanPack(fromBase64(text))
  } catch {
    return []
  }
}

/** The nodes whose id and signature hold and whose parents are there, parents first. */
async function genuine (nodes: readonly NodeView[], blake3: Blake3): Promise<NodeView[]> {
  const hashed: NodeView[] = []
  for (const [i, node] of nodes.entries()) {
    if (i % AT_ONCE === AT_ONCE - 1) await breathe()
    if (equalBytes(blake3.hash(transactionOf(node)), idOf(node))) hashed.push(node)
  }
  const { verify } = await loadEd25519()
  const valid = await verify(hashed.map((node) => ({ author: authorOf(node), id: idOf(node), signature: signatureOf(node) })))
  return closed(hashed.filter((_, i) => valid[i]).sort((a, b) => a.lamport - b.lamport))
}

function closed (nodes: readonly NodeView[]): NodeView[] {
  const kept: NodeView[] = []
  const table = createIdTable({ chunk: (i) => kept[i].bytes, offset: (i) => kept[i].start })
  const known = (id: Uint8Array): boolean => findId(table, id, 0) >= 0
  for (const node of nodes) {
    if (known(idOf(node))) continue
    if (!Array.from({ length: node.parentCount }, (_, i) => parentOf(node, i)).every(known)) continue
    kept.push(node)
    insertId(table, kept.length - 1)
  }
  return kept
}
