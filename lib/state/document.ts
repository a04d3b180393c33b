import { type NodeView, authorOf, idOf, readOps } from '../protocol/node.js'
import type { ListOp, MapOp, Op, TextOp } from '../protocol/op.js'
import { createAuthors } from './authors.js'
import type { Watch } from './change.js'
import type { OnConflict } from './conflict.js'
import { type List, createList } from './list.js'
import { type LwwMap, createMap } from './map.js'
import { ENCRYPTED_KEY } from './resolve.js'
import { createTentativeSet } from './tentative-set.js'
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
  /** Takes in a node that `retract` can take out again until `confirm`. */
  applyLocal (node: AppliedNode): void
  /** Takes out a local node: the document is as if it had never been applied. */
  retract (node: AppliedNode): void
  /** Makes a local node one like any other. */
  confirm (node: AppliedNode): void
  readonly map: LwwMap
  /** The text under a key, empty when nothing was written. */
  text (key: string): Text
  list (key: string): List
  /** The keys that any operation has named, in order of arrival. */
  keys (family: 'map' | 'list' | 'text'): string[]
  /** Applies what waits in every text and tells their observers. */
  settle (): void
}

/** What to do with each operation of a node; the operations on one text come together. */
interface Route {
  map (node: NodeKey, op: MapOp): void
  list (node: NodeKey, op: ListOp): void
  text (node: NodeKey, key: string, ops: readonly TextOp[]): void
}

/** Creates an empty document. `watch` is told of changes to its map and lists; texts have observers of their own. */
export function createDocument (options: DocumentOptions = {}, watch?: Watch): Document {
  const authors = createAuthors()
  const map = createMap(options.onConflict, watch?.map)
  const texts = keyed(() => createText(authors))
  const lists = keyed((key) => createList(key, options.onConflict))
  const follows = options.follow ?? (() => true)
  const changed = (key: string, may: boolean): void => { if (may) watch?.list(key) }

  const apply = routed(follows, {
    map: map.apply,
    list: (node, op) => changed(op.key, lists.named(op.key).apply(node, op)),
    text: (node, key, ops) => texts.named(key).apply(node, ops)
  })

  return {
    apply,
    applyView: (node) => apply({ id: idOf(node), author: authorOf(node), lamport: node.lamport, ops: readOps(node) }),
    applyLocal: routed(follows, {
      map: map.applyLocal,
      list: (node, op) => changed(op.key, lists.namedLocally(op.key).applyLocal(node, op)),
      text: (node, key, ops) => texts.namedLocally(key).apply(node, ops)
    }),
    retract: routed(follows, {
      map: map.retract,
      list: (node, op) => changed(op.key, lists.unnamed(op.key).retract(node, op)),
      text: (node, key) => texts.unnamed(key).retract(node)
    }),
    confirm: routed(follows, {
      map: map.confirm,
      list: (node, op) => lists.named(op.key).confirm(node, op),
      text: (_, key) => { texts.named(key) }
    }),
    map,
    text: texts.get,
    list: lists.get,
    keys: (family) => [...(family === 'map' ? map.keys() : family === 'text' ? texts.keys() : lists.keys())],
    settle () { for (const text of texts.all()) text.settle() }
  }
}

/** Takes a node apart and leaves out what is not followed. */
function routed (follows: NonNullable<DocumentOptions['follow']>, { map, list, text }: Route): (node: AppliedNode) => void {
  return (node) => {
    const first = node.ops[0]
    if (node.ops.length === 1 && isTextOp(first)) {
      if (follows('text', first.key)) text(node, first.key, [first])
      return
    }
    const textOps: TextOp[] = []
    for (const op of node.ops) {
      if (isTextOp(op)) textOps.push(op)
      else if (isMapOp(op)) {
        if (follows('map', op.key)) map(node, op)
      } else if (follows('list', op.key)) {
        list(node, op)
      }
    }
    for (const [key, own] of byKey(textOps)) if (follows('text', key)) text(node, key, own)
  }
}

function byKey (ops: readonly TextOp[]): Map<string, TextOp[]> {
  const keys = new Map<string, TextOp[]>()
  for (const op of ops) {
    const own = keys.get(op.key)
    if (own === undefined) keys.set(op.key, [op])
    else own.push(op)
  }
  return keys
}

/** Texts or lists by key, made when first named or asked for; those only asked for are not among the keys. */
function keyed<T> (create: (key: string) => T) {
  const made = new Map<string, T>()
  const named = createTentativeSet()
  const get = (key: string): T => {
    let one = made.get(key)
    if (one === undefined) made.set(key, one = create(key))
    return one
  }
  const noting = (note: (key: string) => void) => (key: string): T => {
    note(key)
    return get(key)
  }
  return {
    get,
    named: noting(named.add),
    namedLocally: noting(named.addLocal),
    unnamed: noting(named.retract),
    keys: () => named.names.values(),
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
