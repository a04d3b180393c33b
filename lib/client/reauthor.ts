import { toHex } from '../protocol/hex.js'
import { equalBytes } from '../protocol/bytes.js'
import type { Op } from '../protocol/op.js'
import type { Rejection } from './core.js'
import type { PendingNode } from './pending.js'
import type { Replica } from './replica.js'
import { createTranslation } from './translation.js'

/** Why a server refused a node. */
export interface Refusal {
  code: string
  message: string
  requiredCapability?: string | undefined
}

export interface Reauthored {
  rejections: Rejection[]
  /** Nodes that are no longer pending and leave storage. */
  gone: PendingNode[]
  /** The nodes written in their place, in order. */
  written: PendingNode[]
}

/** Refusals of a writer's key path: whoever may not write a key may not write it again a moment later. */
const BY_KEY = new Set(['reject.policy_violation', 'reject.path_scope_forbidden'])

/**
 * Takes refused nodes out and writes what descends from them anew on what stays, in order (spec/client.md §11.2, C4). Operations that
 * hang on characters of a refused node are dropped with it. Nodes of other tabs are only taken out here: their writer writes them
 * anew, or they would be there twice.
 */
export function reauthor (replica: Replica, author: Uint8Array, refused: ReadonlyMap<PendingNode, Refusal>, now: number): Reauthored {
  const line = replica.pending.lineage([...refused.keys()].map((node) => node.key))
  replica.remove(line)
  const translation = createTranslation()
  const denied = new Map<string, Refusal>()
  const rejections: Rejection[] = []
  const written: PendingNode[] = []
  const dropped: Op[] = []

  for (const node of line) {
    const refusal = refused.get(node) ?? foretold(node, denied)
    const own = equalBytes(node.author, author)
    if (refusal !== undefined) {
      noteDenied(node, refusal, denied)
      translation.note(node.ops, node, null)
      rejections.push(rejectionOf(node, refusal, now))
      continue
    }
    const moved = translation.apply(node.ops)
    dropped.push(...moved.dropped)
    translation.note(moved.dropped, node, null)
    if (!own || moved.kept.length === 0) {
      translation.note(moved.kept, node, null)
      continue
    }
    const anew = replica.write(moved.kept)
    translation.note(moved.kept, node, { lamport: anew.lamport, author })
    written.push(anew)
  }
  for (const rejection of rejections) rejection.reauthored = written.length
  Object.assign(rejections[0], { renamed: translation.renamed() }, dropped.length > 0 ? { dropped } : {})
  return { rejections, gone: line.filter((node) => equalBytes(node.author, author)), written }
}

function rejectionOf (node: PendingNode, { code, message, requiredCapability }: Refusal, at: number): Rejection {
  return { at, id: toHex(node.id), code, message, ops: node.ops, reauthored: 0, ...(requiredCapability === undefined ? {} : { requiredCapability }) }
}

/** A node of one key that was refused for its key says that this key is denied; of several keys, one of them is. */
function noteDenied (node: PendingNode, refusal: Refusal, denied: Map<string, Refusal>): void {
  const [key, ...others] = new Set(node.ops.map((op) => op.key))
  if (BY_KEY.has(refusal.code) && key !== undefined && others.length === 0) denied.set(toHex(node.author) + key, refusal)
}

/** Spares the server a round for every node of a long line of denied ones. */
function foretold (node: PendingNode, denied: ReadonlyMap<string, Refusal>): Refusal | undefined {
  if (denied.size === 0) return undefined
  const author = toHex(node.author)
  for (const { key } of node.ops) {
    const refusal = denied.get(author + key)
    if (refusal !== undefined) return refusal
  }
  return undefined
}
