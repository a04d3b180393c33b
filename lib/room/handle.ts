import { NodalmergeError } from '../errors.js'
import { type NodeView, encodeNode, encodeTransaction, nodeId, readNode, type SignedNode } from '../protocol/node.js'
import type { Signer } from '../protocol/crypto.js'
import { checkOps } from '../protocol/op-check.js'
import type { Op } from '../protocol/op.js'
import { encodePack } from '../protocol/pack.js'
import { fromHex, toHex } from '../protocol/hex.js'
import { type Document, createDocument } from '../state/document.js'
import { isPublicKey } from '../crypto/ed25519.js'
import type { RoomState, StoredPolicy } from '../store/node-store.js'
import { createLane } from './lane.js'
import type { Room } from './room.js'
import type { Server } from './server.js'
import type { Source } from './source.js'
import { createPace } from './turn.js'

/** A room as the host sees it: `fastify.nodalmerge.room(id)`. Holding one keeps nothing in memory; every call opens the room if it must. */
export interface RoomHandle {
  readonly id: string
  /** Loads the room. */
  open (): Promise<{ nodes: number, sessions: number, root: string, frontier: string[] }>
  /**
   * Writes one node, as the server or as another key, through the same checks as everybody's; resolves with its id when it is durable.
   * Throws TypeError or RangeError for operations the format cannot carry, NodalmergeError when the node is refused.
   */
  append (ops: readonly Op[], options?: { as?: Signer }): Promise<string>
  /** Every node in the order of acceptance. */
  nodes (): AsyncIterable<SignedNode>
  /** The resolved state: the map, lists and texts of all nodes accepted so far. */
  state (): Promise<Document>
  /** The room's lock and policy. */
  rights (): Promise<RoomState>
  /** Locks the room: from now on a hello needs a token under this Ed25519 public key (32 bytes or 64 hexadecimal digits). */
  lock (key: Uint8Array | string): Promise<void>
  /** Replaces the write policy. */
  setPolicy (policy: WritePolicy): Promise<void>
}

/** A write policy: the first rule whose glob matches a key decides, `default` otherwise (spec/wire-format.md §12). */
export interface WritePolicy {
  rules?: ReadonlyArray<{ path: string, write: ReadonlyArray<Uint8Array | string> }>
  /** Default: `allow`. */
  default?: 'allow' | 'deny'
}

/** Throws TypeError when `id` is no string; one that names no room is refused by the first call that needs the room. */
export function createHandle (server: Server, id: unknown): RoomHandle {
  if (typeof id !== 'string') throw new TypeError('a room id is a string')
  const lane = createLane()
  const source: Source = { ...server.source }
  const open = (): Promise<Room> => server.rooms.open(id)
  return {
    id,
    async open () {
      const { dag, sessions } = await open()
      return { nodes: dag.size, sessions: sessions.size, root: toHex(dag.root()), frontier: dag.heads().map(toHex) }
    },
    async append (ops, { as = server.signer } = {}) {
      checkOps(ops)
      const room = await open()
      const { id: node, bytes } = author(server, room, ops, as)
      const { refused: [refusal] } = await room.accept(encodePack([bytes]), source, lane)
      if (refusal !== undefined) throw new NodalmergeError(refusal.code, refusal.message)
      return toHex(node)
    },
    async * nodes () {
      for await (const node of walk(await open())) yield readNode(node)
    },
    async state () {
      const document = createDocument()
      for await (const node of walk(await open())) document.applyView(node)
      return document
    },
    rights: async () => (await open()).state,
    async lock (key) {
      await (await open()).lock(readKey(key))
    },
    async setPolicy (policy) {
      await (await open()).setPolicy(readPolicy(policy))
    }
  }
}

function author (server: Server, room: Room, ops: readonly Op[], signer: Signer): { id: Uint8Array, bytes: Uint8Array } {
  const transaction = encodeTransaction({
    author: signer.publicKey, lamport: room.clock + 1, wallMs: server.clock.now(), ops: [...ops], parents: room.dag.heads()
  })
  const id = nodeId(transaction, server.blake3)
  return { id, bytes: encodeNode(id, transaction, signer.sign(id)) }
}

async function * walk (room: Room): AsyncGenerator<NodeView> {
  const pace = createPace()
  for (let i = 0; i < room.dag.size; i++) {
    yield room.dag.view(i)
    if (pace.due()) await pace.rest()
  }
}

function readKey (key: unknown): string {
  if (!(key instanceof Uint8Array) && typeof key !== 'string') throw new TypeError('a key is a Uint8Array or a string')
  const bytes = typeof key === 'string' ? fromHex(key, 32) : key
  if (bytes === null || bytes.length !== 32 || !isPublicKey(bytes)) throw new RangeError('a key is an Ed25519 public key of 32 bytes')
  return toHex(bytes)
}

function readPolicy (policy: WritePolicy): StoredPolicy {
  if (typeof policy !== 'object' || policy === null) throw new TypeError('a policy is an object')
  const { rules = [], default: otherwise = 'allow' } = policy
  if (!Array.isArray(rules)) throw new TypeError('the rules of a policy are an array')
  if (otherwise !== 'allow' && otherwise !== 'deny') throw new RangeError("the default of a policy is 'allow' or 'deny'")
  return {
    rules: rules.map(readRule),
    default: otherwise
  }
}

function readRule (rule: unknown): StoredPolicy['rules'][number] {
  if (typeof rule !== 'object' || rule === null) throw new TypeError('a rule is an object')
  const { path, write }: { path?: unknown, write?: unknown } = rule
  if (typeof path !== 'string') throw new TypeError('the path of a rule is a string')
  if (!Array.isArray(write)) throw new TypeError('the writers of a rule are an array')
  return { pathGlob: path, canWrite: write.map(readKey), canRead: [], canDerive: [] }
}
