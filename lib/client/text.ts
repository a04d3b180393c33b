import type { Splice, Text } from '../state/text.js'
import { type Anchor, type Side, anchorAt, resolveAnchor } from './anchor.js'
import type { TextEvent } from './event.js'
import { checkKey } from './key.js'
import { isTrail } from './text-write.js'
import type { Workspace } from './workspace.js'

/** What can be asked of a text. Positions are UTF-16 units, as in strings; beyond the end means at the end. */
export interface TextReading {
  readonly length: number
  toString (): string
  /** Like `String.prototype.slice`, but positions are not negative. */
  slice (from: number, to?: number): string
  /** The text as of a lamport value. */
  at (lamport: number): string
}

/**
 * One collaborative text. What is written shows at once. A position that is no number throws TypeError, a negative or fractional one
 * RangeError. Texts hold no lone surrogates: what an edit leaves of a pair, or brings without its half, becomes U+FFFD.
 */
export interface TextHandle extends TextReading {
  insert (position: number, text: string): void
  /** Deletes `count` units from a position on; 1 when not given. */
  delete (position: number, count?: number): void
  /** Replaces what lies between two positions. */
  replace (from: number, to: number, text: string): void
  /** Applies splices one after the other, each relative to the result of those before it. */
  apply (splices: readonly Splice[]): void
  /** A position that keeps its place while the text changes. */
  anchor (position: number, side?: Side): Anchor
  /** Where an anchor is now, or null when it names no character of this text. A deleted character counts where it was. */
  resolve (anchor: Anchor): number | null
  /** Calls `listen` with the splices that turn the text as last told into the text as it is. Returns how to stop. */
  observe (listen: (event: TextEvent) => void): () => void
}

export function createText (workspace: Workspace, key: string): TextHandle {
  checkKey(key)
  const settled = (): Text => workspace.document.text(key)
  const length = (): number => settled().length + (workspace.typingIn(key)?.growth ?? 0)

  function slice (from: number, to: number): string {
    const typing = workspace.typingIn(key)
    return typing === null ? settled().slice(from, Math.max(from, to)) : typing.slice(settled(), from, to)
  }

  /** Widens a splice to whole pairs: what is left of a cut one is written anew, as far as it can be. */
  function splice (position: number, deleted: number, inserted: string): void {
    const size = length()
    let from = Math.min(position, size)
    let to = Math.min(from + deleted, size)
    if (typeof inserted !== 'string') throw new TypeError('text is a string')
    if (from === to && inserted === '') return
    if (from < size && isTrail(slice(from, from + 1).charCodeAt(0))) inserted = slice(--from, from + 1) + inserted
    if (to < size && isTrail(slice(to, to + 1).charCodeAt(0))) inserted += slice(to++, to)
    inserted = inserted.replace(/\p{Cs}/gu, '\ufffd')
    workspace.transact(() => workspace.type(key, { position: from, deleted: to - from, inserted }), { origin: workspace.origin })
  }

  function replace (from: number, to: number, text: string): void {
    if (checkPosition(to) < checkPosition(from)) throw new RangeError('a range ends behind its start')
    splice(from, from < to ? to - from : 0, text)
  }

  return {
    get length () { return length() },
    toString: () => slice(0, Infinity),
    slice: (from, to = Infinity) => slice(checkPosition(from), checkPosition(to)),
    at: (lamport) => settled().at(lamport),
    insert: (position, text) => splice(checkPosition(position), 0, text),
    delete: (position, count = 1) => splice(checkPosition(position), checkPosition(count), ''),
    replace,
    apply (splices) {
      if (!Array.isArray(splices)) throw new TypeError('apply takes an array of splices')
      workspace.transact(() => {
        for (const { position, deleted, inserted } of splices as readonly Splice[]) replace(position, position + checkPosition(deleted), inserted)
      })
    },
    anchor (position, side = 'right') {
      if (side !== 'left' && side !== 'right') throw new RangeError("a side is 'left' or 'right'")
      checkPosition(position)
      workspace.flush()
      return anchorAt(settled(), position, side)
    },
    resolve (anchor) {
      const position = resolveAnchor(workspace, key, settled(), anchor)
      if (position === null) return null
      return workspace.typingIn(key)?.toShown(position, anchor.side === 'right') ?? position
    },
    observe: (listen) => workspace.feed.onText(key, listen)
  }
}

/** Throws unless a value can be a position: TypeError for no number, RangeError for a negative or fractional one. */
export function checkPosition (position: unknown): number {
  if (typeof position !== 'number') throw new TypeError('a position is a number')
  if (!(position >= 0) || !(Number.isInteger(position) || position === Infinity)) throw new RangeError('a position is a non-negative integer')
  return position
}
