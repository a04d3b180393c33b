import type { Code } from '../errors.js'
import type { SessionCaps } from './caps.js'

/** 32 bytes as lower-case hexadecimal. */
export type Hex = string
export type Base64 = string

/** First frame of a good session (spec/session-protocol.md §1.7). `ext` answers `hello.client.ext`; `mst_root` only when negotiated. */
export interface Welcome {
  type: 'welcome'
  root: Hex
  frontier: Hex[]
  missing: Hex[]
  caps: SessionCaps
  server_pubkey: Hex
  peers: string[]
  mst_root?: Hex
  room?: string
  session_id?: number
  ext?: string[]
}

/**
 * Nodes: a catch-up, an answer or a relay (§1.9, §2.3, §2.4). `seq` numbers relayed packs for clients that negotiated it; `withheld`
 * stands for nodes this session may not read (design §5, row 11).
 */
export interface PackMessage { type: 'pack', from: string, nodes: Base64, root?: Hex, seq?: number, withheld?: WithheldNode[] }

export interface WithheldNode { id: Hex, parents: Hex[], lamport: number, author: Hex }

/** §2.2; `accepted_count` includes `duplicate_count`, `rejected` has at most 64 entries, `id` echoes the id of the client's pack. */
export interface PackAck {
  type: 'pack-ack'
  room: string
  id?: string | number
  incoming_count: number
  accepted_count: number
  rejected_count: number
  duplicate_count: number
  rejected?: { id: Hex, code: Code, msg?: string }[]
}

/** §6.1. Original clients read `msg`, `reason_class`, `command`, `required_capability` and `status`. */
export interface ErrorMessage {
  type: 'error'
  msg: string
  code?: Code
  reason_class?: string
  command?: string
  required_capability?: string
  status?: number
  retry?: boolean
  detail?: unknown
}

export interface PresenceEntry { session_id: number, from_peer_pubkey: string, data: unknown, expires_at_unix_ms: number | null }

/** Whatever else was in the signal is passed on (§4.2). */
export interface Signal { type: 'webrtc-offer' | 'webrtc-answer' | 'webrtc-ice', from: string, [field: string]: unknown }

export interface MstNode { path: string, hash: Hex, children: Record<string, Hex>, keys: Hex[] }

/** What the server sends in a session; the control families add their own results (spec/control-plane.md). */
export type ServerMessage =
  | Welcome
  | PackMessage
  | PackAck
  | ErrorMessage
  | Signal
  | { type: 'subscribe-ack', patterns?: string[] }
  | { type: 'mst-response', nodes: MstNode[] }
  | { type: 'peer-joined' | 'peer-left', from: string, pubkey: string, peer_id: string, peer_type: string }
  | { type: 'blob-available', hashes: Hex[] }
  | { type: 'blob-redirect', redirects: { hash: string, url: string, expires_at_unix: number }[] }
  | { type: 'blob-pack', blobs: { hash: string, data: Base64 }[], requested: string[] }
  | { type: 'upload-granted', hash: Hex, url: string, expires_at_unix: number }
  | { type: 'upload-denied' | 'upload-rejected', hash: Hex, reason: string }
  | { type: 'presence', from: string, data: unknown, room?: string, session_id?: number, joined?: boolean }
  | { type: 'presence-snapshot', room: string, entries: PresenceEntry[] }
  | { type: 'presence-leave', room: string, session_id: number, from: string, reason: 'leave' | 'stale' }
  | { type: 'room-locked', pubkey: string }
  | { type: 'policy-set' }
  | { type: 'server-info', pubkey: Hex, version?: string, caps?: SessionCaps }
  | { type: 'tick-started' | 'tick-already-running', interval_ms: number }
  | { type: 'tick-stopped' }
  | { type: 'snapshot-pack', pack_b64: Base64, snapshot_hash: Hex }
  | { type: 'compact-ack', snapshot_hash: Hex }

/** A message as the text of one frame. */
export function encodeMessage (message: ServerMessage): string {
  return JSON.stringify(message)
}
