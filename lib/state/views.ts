import { toHex } from '../protocol/hex.js'
import { type AppliedNode, type Document, type DocumentOptions, createDocument } from './document.js'

/**
 * The two readings of a room of a peer that writes (spec/wire-format.md §5.7): speculative is everything it has, canonical is what it
 * has received. Getting one's own node back, or having it acknowledged, confirms it.
 */
export interface Views {
  readonly speculative: Document
  readonly canonical: Document
  /** A node of one's own that is not known to be received by anyone. */
  local (node: AppliedNode): void
  /** A node that was received; an echo of a local one confirms it. */
  remote (node: AppliedNode): void
  /** Confirms a local node by its id. Returns whether it was waiting. */
  confirm (id: Uint8Array): boolean
  /** How many local nodes are not confirmed. */
  readonly unconfirmed: number
}

/** Creates both views. Conflicts are told once, as the speculative view meets them. */
export function createViews (options: DocumentOptions = {}): Views {
  const { onConflict, ...shared } = options
  const speculative = createDocument(options)
  const canonical = createDocument(shared)
  const waiting = new Map<string, AppliedNode>()

  function confirm (id: Uint8Array): boolean {
    const name = toHex(id)
    const node = waiting.get(name)
    if (node === undefined) return false
    waiting.delete(name)
    canonical.apply(node)
    return true
  }

  return {
    speculative,
    canonical,
    local (node) {
      speculative.apply(node)
      waiting.set(toHex(node.id), { ...node, id: node.id.slice(), author: node.author.slice() })
    },
    remote (node) {
      if (waiting.size > 0 && confirm(node.id)) return
      speculative.apply(node)
      canonical.apply(node)
    },
    confirm,
    get unconfirmed () { return waiting.size }
  }
}
