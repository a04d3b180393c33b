import { keyAt } from '../protocol/id-key.js'
import { type Change, createChangeLog } from './change.js'
import { type AppliedNode, type Document, type DocumentOptions, createDocument } from './document.js'

export interface ViewsOptions extends DocumentOptions {
  /** The confirmed nodes in any order, among them every one that `remote` or `confirm` has been told of. */
  confirmed: () => Iterable<AppliedNode>
}

/**
 * The readings of a room of a peer that writes (spec/wire-format.md §5.7). Confirmed nodes were received, or acknowledged; local ones
 * are a peer's own that are neither yet and may still be refused.
 */
export interface Views {
  /** What the user sees: confirmed and local nodes. */
  readonly document: Document
  /** Only confirmed nodes; built when first asked for and kept up to date from then on. */
  readonly canonical: Document
  /** A node of one's own that is not known to be received by anyone. Its operations must not be changed afterwards. */
  local (node: AppliedNode): void
  /** A node that was received; an echo of a local one confirms it. */
  remote (node: AppliedNode): void
  /** Confirms a local node by its id. Returns whether it was waiting. */
  confirm (id: Uint8Array): boolean
  /** Takes a local node out of the document: it is as if it had never been applied. Returns whether it was waiting. */
  reject (id: Uint8Array): boolean
  /** How many local nodes are not confirmed. */
  readonly unconfirmed: number
  /** Applies what waits and answers what the document shows otherwise since the last call. */
  settle (): Change
}

/** Creates the views of an empty room. Conflicts are told once, as the document meets them. */
export function createViews ({ confirmed, ...options }: ViewsOptions): Views {
  const { onConflict, ...quiet } = options
  const log = createChangeLog()
  const document = createDocument(options, log)
  const local = new Map<string, AppliedNode>()
  let canonical: Document | null = null

  /** Readies the texts of a node for what it does to them. */
  function touch ({ ops }: AppliedNode): void {
    for (const { type, key } of ops) {
      if (type.startsWith('text-') && options.follow?.('text', key) !== false) log.text(key, document.text(key))
    }
  }

  /** Takes a node off those that wait. */
  function settled (id: Uint8Array): AppliedNode | undefined {
    const name = keyAt(id)
    const node = local.get(name)
    local.delete(name)
    return node
  }

  function confirm (id: Uint8Array): boolean {
    const node = settled(id)
    if (node === undefined) return false
    document.confirm(node)
    canonical?.apply(node)
    return true
  }

  return {
    document,
    get canonical () {
      if (canonical === null) {
        canonical = createDocument(quiet)
        for (const node of confirmed()) canonical.apply(node)
      }
      return canonical
    },
    local (node) {
      touch(node)
      document.applyLocal(node)
      local.set(keyAt(node.id), { ...node, id: node.id.slice(), author: node.author.slice() })
    },
    remote (node) {
      if (local.size > 0 && confirm(node.id)) return
      touch(node)
      document.apply(node)
      canonical?.apply(node)
    },
    confirm,
    reject (id) {
      const node = settled(id)
      if (node === undefined) return false
      touch(node)
      document.retract(node)
      return true
    },
    get unconfirmed () { return local.size },
    settle: () => log.take(document.map)
  }
}
