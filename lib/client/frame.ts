import type { SessionCaps } from '../protocol/caps.js'
import type { Base64, Hex } from '../protocol/server-message.js'

/** A capability token as its issuer made it; both spellings of its fields travel as they are (spec/client.md §7.2). */
export type Token = Readonly<Record<string, unknown>>

export interface HelloFrame {
  type: 'hello'
  room: string
  pubkey: Hex
  frontier: readonly Hex[]
  root?: Hex
  known?: readonly Hex[]
  ibf?: Base64
  caps: SessionCaps
  subscribe?: readonly string[]
  token?: Token
  client: { name: string, version: string, ext: readonly string[] }
}

/** What this client sends (spec/session-protocol.md §1 to §5). */
export type ClientFrame =
  | HelloFrame
  | { type: 'pack', nodes: Base64, id?: string | number }
  | { type: 'request', known: readonly Hex[] }
  | { type: 'subscribe', patterns: readonly string[] }
  | { type: 'mst-request', paths: readonly string[] }
  | { type: 'mst-done', ids: readonly Hex[] }
  | { type: 'blob-upload', blobs: readonly { hash: Hex, data: Base64 }[] }
  | { type: 'blob-request', hashes: readonly Hex[], prefer?: 'ws' }
  | { type: 'request-upload', hash: Hex, size: number, content_type?: string }
  | { type: 'blob-uploaded', hash: Hex }
  | { type: 'presence' | 'presence-set', data: unknown }
  | { type: 'presence-get' }
  | { type: 'server-info' }
  | { type: 'webrtc-offer' | 'webrtc-answer' | 'webrtc-ice', [field: string]: unknown }
