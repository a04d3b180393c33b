import { fromHex, toHex } from '../protocol/hex.js'
import type { OpId } from '../protocol/op.js'
import type { Text } from '../state/text.js'
import type { Workspace } from './workspace.js'

/** Which neighbour a position keeps to: text that is inserted at it comes behind the position for 'left', before it for 'right'. */
export type Side = 'left' | 'right'

/** A position that keeps its place while the text changes; plain JSON. Without `id` the start ('left') or the end ('right') of the text. */
export interface Anchor {
  side: Side
  /** Lamport value and author, in hexadecimal, of the character it keeps to. */
  id?: [lamport: number, author: string]
}

/** The anchor of a position of a settled text. */
export function anchorAt (text: Text, position: number, side: Side): Anchor {
  const id = side === 'right' ? text.idAt(position) : position === 0 ? null : text.idAt(Math.min(position, text.length) - 1)
  return id === null ? { side } : { side, id: [id.lamport, toHex(id.author)] }
}

/** Where an anchor is in a settled text, or null when it is no anchor or its character is unknown. Anchors come from others too. */
export function resolveAnchor (workspace: Workspace, key: string, text: Text, anchor: unknown): number | null {
  if (typeof anchor !== 'object' || anchor === null || !('side' in anchor)) return null
  if (anchor.side !== 'left' && anchor.side !== 'right') return null
  const left = anchor.side === 'left'
  if (!('id' in anchor) || anchor.id === undefined) return left ? 0 : text.length
  const id = idOf(anchor.id)
  if (id === null) return null
  const [latest] = workspace.aliases.ids(key, { ...id, length: 1 })
  const place = text.placeOf(latest) ?? text.placeOf(id)
  return place && place.position + (left ? place.length : 0)
}

function idOf (value: unknown): OpId | null {
  if (!Array.isArray(value)) return null
  const [lamport, hex]: unknown[] = value
  const author = fromHex(hex, 32)
  return author !== null && typeof lamport === 'number' && Number.isSafeInteger(lamport) && lamport >= 0 ? { lamport, author } : null
}
