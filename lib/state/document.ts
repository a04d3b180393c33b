import { type NodeView, authorOf, idOf, readOps } from '../protocol/node.js'
import type { MapOp, Op, TextOp } from '../protocol/op.js'
import { createAuthors } from './authors.js'
import type { OnConflict } from './conflict.js'
import { type List, createList } from './list.js'
import { type LwwMap, createMap } from './map.js'
import { ENCRYPTED_KEY } from './resolve.js'
import { type NodeKey, type Text, createText } from './text.js'

export interface AppliedNode extends NodeKey { ops: readonly Op[] }

export interface DocumentOptions {
  /** Which keys to follow; everything when absent. What is not followed costs nothing and cannot be asked for later. */
  follow?: (family: 'map' | 'list' | 'text', key: string) => boolean
  /** Told of operations that lose to another author's (spec/wire-format.md §7.2). */
  onConflict?: OnConflict
}

/**
 * What the nodes of a room mean. Nodes may come in any order; the result depends only on which have come. A node is given once: the
 * graph knows what it has (maps, lists and texts all ignore a second time). Encrypted nodes are opaque: the map holds their payload
 * like any other value; who has the room key applies the decrypted operations under the same id, author and lamport instead (§14).
 */
export interface Document {
  apply (node: AppliedNode): void
  /** Takes in a node from where it lies; its operations are decoded once. */
  applyView (node: NodeView): void
  readonly map: LwwMap
  /** The text under a key, empty when nothing was written. */
  text (key: string): Text
  list (key: string): List
  /** The keys that any operation has named, in order of arrival. */
  keys (family: 'map' | 'list' | 'text'): string[]
  /** Applies what waits in every text and tells their observers. */
  settle (): void
}

export function createDocument (options: DocumentOptions = {}): Document {
  const authors = createAuthors()
  const map = createMap(options.onConflict)
  const texts = keyed(() => createText(authors))
  const lists = keyed((key) => createList(key, options.onConflict))
  const follows = options.follow ?? (() => true)

  /** All operations of a node on one text go to it in one call. */
  function applyTexts (node: NodeKey, ops: readonly TextOp[]): void {
    const byKey = new Map<string, TextOp[]>()
    for (const op of ops) {
      const own = byKey.get(op.key)
      if (own === undefined) byKey.set(op.key, [op])
      else own.push(op)
    }
    for (const [key, own] of byKey) if (follows('text', key)) texts.written(key).apply(node, own)
  }

  function apply (node: AppliedNode): void {
    const first = node.ops[0]
    if (node.ops.length === 1 && isTextOp(first)) {
      if (follows('text', first.key)) texts.written(first.key).apply(node, [first])
      return
    }
    const textOps: TextOp[] = []
    for (const op of node.ops) {
      if (isTextOp(op)) textOps.push(op)
      else if (isMapOp(op)) {
        if (follows('map', op.key)) map.apply(node, op)
      } else if (follows('list', op.key)) {
        lists.written(op.key).apply(node, op)
      }
    }
    if (textOps.length > 0) applyTexts(node, textOps)
  }

  return {
    apply,
    applyView: (node) => apply({ id: idOf(node), author: authorOf(node), lamport: node.lamport, ops: readOps(node) }),
    map,
    text: texts.get,
    list: lists.get,
    keys: (family) => [...(family === 'map' ? map.keys() : family === 'text' ? texts.keys() : lists.keys())],
    settle () { for (const text of texts.all()) text.settle() }
  }
}

/** Texts or lists by key, made when first written or asked for; those only asked for are not among the keys. */
function keyed<T> (create: (key: string) => T) {
  const made = new Map<string, T>()
  const written = new Set<string>()
  const get = (key: string): T => {
    let one = made.get(key)
    if (one === undefined) made.set(key, one = create(key))
    return one
  }
  return {
    get,
    written (key: string): T {
      written.add(key)
      return get(key)
    },
    keys: () => written.values(),
    all: () => made.values()
  }
}

function isTextOp (op: Op): op is TextOp {
  return op.type.startsWith('text-')
}

function isMapOp (op: Op): op is MapOp {
  return op.type.startsWith('map-')
}

/** Whether a node's operations are hidden: its only one sets the key of encrypted operations (§14). */
export function isEncrypted (ops: readonly Op[]): boolean {
  return ops.length === 1 && ops[0].type === 'map-set' && ops[0].key === ENCRYPTED_KEY
}
