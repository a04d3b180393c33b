import * as v from 'valibot'
import { NodalmergeError } from '../errors.js'
import type { SessionCaps } from './caps.js'
import { tooDeep } from './message-limits.js'
import type { UnknownMessage } from './message.js'

/**
 * What a server may send (spec/session-protocol.md §1 to §5): ours, an original one, or one that means harm. An absent field takes its
 * default, because the dialects differ in what they leave out; a present one of the wrong type makes the whole message malformed,
 * because nothing built on it can be trusted. Unknown fields are dropped.
 */

/** 32 bytes as lower-case hexadecimal. */
export type Hex = string
export type Base64 = string

const HEX = /^[0-9a-f]{64}$/i
const text = v.string()
const hex = v.pipe(text, v.regex(HEX), v.toLowerCase())
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const someText = v.optional(text)
/** Ids to be looked up: what is none is passed over, as servers do (§0.3), and costs nobody a session. */
const hexList = v.optional(v.pipe(
  v.array(v.unknown()),
  v.transform((entries) => entries.flatMap((entry) => typeof entry === 'string' && HEX.test(entry) ? entry.toLowerCase() : []))
), [])
const texts = v.optional(v.pipe(v.array(v.unknown()), v.transform((entries) => entries.filter((entry) => typeof entry === 'string'))), [])
/** What somebody only wants to read: never worth a message. */
const note = v.fallback(v.optional(text), undefined)
const flag = v.fallback(v.optional(v.boolean()), undefined)

/** What was negotiated; an absent field means its default, not `false` (§1.6). */
const caps: v.GenericSchema<object, SessionCaps> = v.object({
  supports_ibf: v.optional(v.boolean(), true),
  supports_mst: v.optional(v.boolean(), true),
  supports_postcard: v.optional(v.boolean(), true),
  supports_encryption: v.optional(v.boolean(), true),
  supports_webrtc: v.optional(v.boolean(), false),
  max_tick_interval_ms: v.optional(v.nullable(v.number()), null),
  supports_list_crdt: v.optional(v.boolean(), true),
  supports_direct_blob_io: v.optional(v.boolean(), true)
})

/** What a session may push per second; 0 is no limit (§6.4). `reconcile`: how much more in the `ms` milliseconds after the welcome. */
const rate = v.object({ nodes: count, bytes: count, reconcile: v.optional(v.object({ nodes: count, bytes: count, ms: count })) })

/**
 * First frame of a good session (§1.7). `ext` answers `hello.client.ext`. An embedded host leaves out `root`, `frontier` and
 * `server_pubkey`, an original server `room`, `session_id`, `ext` and `rate`.
 */
const welcome = v.object({
  type: v.literal('welcome'),
  root: v.optional(hex),
  frontier: hexList,
  missing: hexList,
  caps: v.optional(caps, {}),
  server_pubkey: v.optional(hex),
  peers: texts,
  mst_root: v.optional(hex),
  room: someText,
  session_id: v.optional(count),
  ext: texts,
  rate: v.optional(rate)
})

const withheld = v.object({ id: hex, parents: hexList, lamport: count, author: hex })

/**
 * Nodes: a catch-up, an answer or a relay (§1.9, §2.3, §2.4). `seq` numbers relayed packs for clients that negotiated it; `withheld`
 * stands for nodes this session may not read (design §5, row 11).
 */
const pack = v.object({
  type: v.literal('pack'),
  from: v.optional(text, ''),
  nodes: text,
  root: v.optional(hex),
  seq: v.optional(count),
  withheld: v.optional(v.array(withheld))
})

/** Entries of `pack-ack.rejected` that are read; no server sends more (§2.2). */
const MAX_REJECTED = 64

/** §2.2; `accepted_count` includes `duplicate_count`, `id` echoes the id of the client's pack. */
const packAck = v.object({
  type: v.literal('pack-ack'),
  room: someText,
  id: v.optional(v.union([text, v.number()])),
  incoming_count: count,
  accepted_count: count,
  rejected_count: count,
  duplicate_count: v.optional(count, 0),
  rejected: v.optional(v.pipe(v.array(v.object({ id: hex, code: text, msg: note, retry: flag })), v.maxLength(MAX_REJECTED)), [])
})

/** §6.1. Nothing in it is worth losing the rest: every field that cannot be read is absent. `hash` names the blob it is about (§3.1). */
const error = v.object({
  type: v.literal('error'),
  msg: v.fallback(text, ''),
  code: note,
  reason_class: note,
  command: note,
  required_capability: note,
  hash: v.fallback(v.optional(hex), undefined),
  status: v.fallback(v.optional(v.number()), undefined),
  retry: flag,
  detail: v.optional(v.unknown())
})

const who = { from: someText, pubkey: someText, peer_id: someText, peer_type: someText }
interface Who { from?: string | undefined, pubkey?: string | undefined, peer_id?: string | undefined, peer_type?: string | undefined }

/** The dialects name the peer in one field or the other, or in both (§1.10). */
function named<Type extends string> (message: Who & { type: Type }): { type: Type, from: string, pubkey: string, peer_id: string, peer_type: string } {
  const pubkey = message.pubkey ?? message.from ?? ''
  return { type: message.type, from: message.from ?? pubkey, pubkey, peer_id: message.peer_id ?? pubkey, peer_type: message.peer_type ?? 'ui' }
}

const data = v.optional(v.pipe(v.unknown(), v.transform((value) => value ?? null)), null)
const presence = v.object({ type: v.literal('presence'), from: text, data, room: someText, session_id: v.optional(count), joined: v.optional(v.boolean()) })
/** The dialects differ in the name of the peer's key (§4.1). */
const presenceEntry = v.pipe(
  v.object({ session_id: v.optional(count), from: someText, from_peer_pubkey: someText, data, expires_at_unix_ms: v.optional(v.nullable(v.number())) }),
  v.transform(({ session_id: session, from, from_peer_pubkey: pubkey, data: value, expires_at_unix_ms: expires }) =>
    ({ session_id: session, from_peer_pubkey: pubkey ?? from ?? '', data: value, expires_at_unix_ms: expires ?? null }))
)

const mstNode = v.object({ path: text, hash: hex, children: v.record(text, hex), keys: hexList })
const redirect = v.object({ hash: hex, url: text, expires_at_unix: v.optional(v.number()) })

const SCHEMAS = {
  welcome,
  pack,
  'pack-ack': packAck,
  error,
  'subscribe-ack': v.object({ type: v.literal('subscribe-ack'), patterns: v.optional(texts) }),
  'mst-response': v.object({ type: v.literal('mst-response'), nodes: v.array(mstNode) }),
  'peer-joined': v.pipe(v.object({ type: v.literal('peer-joined'), ...who }), v.transform(named)),
  'peer-left': v.pipe(v.object({ type: v.literal('peer-left'), ...who }), v.transform(named)),
  'blob-available': v.object({ type: v.literal('blob-available'), hashes: hexList }),
  'blob-redirect': v.object({ type: v.literal('blob-redirect'), redirects: v.array(redirect) }),
  'blob-pack': v.object({ type: v.literal('blob-pack'), blobs: v.array(v.object({ hash: hex, data: text })), requested: hexList }),
  'upload-granted': v.object({ type: v.literal('upload-granted'), hash: hex, url: text, expires_at_unix: v.optional(v.number()) }),
  'upload-denied': v.object({ type: v.literal('upload-denied'), hash: hex, reason: v.fallback(text, '') }),
  'upload-rejected': v.object({ type: v.literal('upload-rejected'), hash: hex, reason: v.fallback(text, '') }),
  presence,
  'presence-snapshot': v.object({ type: v.literal('presence-snapshot'), room: someText, entries: v.array(presenceEntry) }),
  'presence-leave': v.object({ type: v.literal('presence-leave'), room: someText, session_id: v.optional(count), from: text, reason: v.fallback(v.picklist(['leave', 'stale']), 'leave') }),
  'webrtc-offer': v.looseObject({ type: v.literal('webrtc-offer'), from: text }),
  'webrtc-answer': v.looseObject({ type: v.literal('webrtc-answer'), from: text }),
  'webrtc-ice': v.looseObject({ type: v.literal('webrtc-ice'), from: text }),
  'room-locked': v.object({ type: v.literal('room-locked'), pubkey: text }),
  'policy-set': v.object({ type: v.literal('policy-set') }),
  'server-info': v.object({ type: v.literal('server-info'), pubkey: text, version: someText, caps: v.optional(caps) }),
  'tick-started': v.object({ type: v.literal('tick-started'), interval_ms: v.number() }),
  'tick-already-running': v.object({ type: v.literal('tick-already-running'), interval_ms: v.number() }),
  'tick-stopped': v.object({ type: v.literal('tick-stopped') }),
  'snapshot-pack': v.object({ type: v.literal('snapshot-pack'), pack_b64: text, snapshot_hash: hex }),
  'compact-ack': v.object({ type: v.literal('compact-ack'), snapshot_hash: hex })
}

type Schemas = typeof SCHEMAS

/** What the server sends in a session; the control families add their own results (spec/control-plane.md). */
export type ServerMessage = { [Type in keyof Schemas]: v.InferOutput<Schemas[Type]> }[keyof Schemas]
export type ServerMessageOf<Type extends ServerMessage['type']> = Extract<ServerMessage, { type: Type }>
export type Welcome = ServerMessageOf<'welcome'>
export type PackMessage = ServerMessageOf<'pack'>
export type PackAck = ServerMessageOf<'pack-ack'>
export type ErrorMessage = ServerMessageOf<'error'>
export type WithheldNode = v.InferOutput<typeof withheld>
export type PresenceEntry = v.InferOutput<typeof presenceEntry>
/** Whatever else was in the signal is passed on (§4.2). */
export type Signal = ServerMessageOf<'webrtc-offer' | 'webrtc-answer' | 'webrtc-ice'>
export type MstNode = v.InferOutput<typeof mstNode>
export type Rate = v.InferOutput<typeof rate>

const BY_TYPE: ReadonlyMap<string, v.GenericSchema<unknown, ServerMessage>> = new Map(Object.entries(SCHEMAS))

/** Characters of a frame that is read. An original server sends a whole history in one. */
export const MAX_FRAME = 128 * 1024 * 1024

/**
 * Reads one text frame. Throws `reject.protocol_message_too_large` beyond `MAX_FRAME` characters, `reject.protocol_invalid_message` for
 * what is not a JSON object, or is nested more than 128 deep where that matters, and `reject.protocol_invalid_field` for a known message
 * that cannot be read. A type that is not known is told as `unknown`.
 */
export function parseServerMessage (frame: string): ServerMessage | UnknownMessage {
  if (frame.length > MAX_FRAME) throw new NodalmergeError('reject.protocol_message_too_large')
  const value = parseObject(frame)
  const name = typeof value.type === 'string' ? value.type : ''
  const schema = BY_TYPE.get(name)
  if (mayNest(name, schema === undefined) && tooDeep(value)) throw invalid('nested too deep')
  if (schema === undefined) return { type: 'unknown', name, body: value }
  const read = v.safeParse(schema, value)
  if (read.success) return read.output
  const [issue] = read.issues
  throw new NodalmergeError('reject.protocol_invalid_field', `${name}: ${v.getDotPath(issue)} cannot be read`, { cause: issue })
}

function parseObject (frame: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(frame)
    if (isRecord(value)) return value
  } catch (cause) {
    throw invalid('invalid JSON', cause)
  }
  throw invalid('not an object')
}

function invalid (message: string, cause?: unknown): NodalmergeError {
  return new NodalmergeError('reject.protocol_invalid_message', message, cause === undefined ? {} : { cause })
}

function isRecord (value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Whether the message carries JSON of somebody's own making, which an application will walk. */
function mayNest (name: string, unknown: boolean): boolean {
  return unknown || name === 'error' || name.startsWith('presence') || name.startsWith('webrtc-')
}

/** A message as the text of one frame. */
export function encodeMessage (message: ServerMessage): string {
  return JSON.stringify(message)
}
