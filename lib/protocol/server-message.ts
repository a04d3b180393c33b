import * as z from 'zod/mini'
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
const text = z.string()
const hex = text.check(z.regex(HEX), z.toLowerCase())
const count = z.int().check(z.nonnegative())
const someText = z.optional(text)
/** Ids to be looked up: what is none is passed over, as servers do (§0.3), and costs nobody a session. */
const hexList = z.pipe(
  z._default(z.array(z.unknown()), []),
  z.transform((entries) => entries.flatMap((entry) => typeof entry === 'string' && HEX.test(entry) ? entry.toLowerCase() : []))
)
const texts = z.pipe(z._default(z.array(z.unknown()), []), z.transform((entries) => entries.filter((entry) => typeof entry === 'string')))
/** What somebody only wants to read: never worth a message. */
const note = z.catch(z.optional(text), undefined)

/** What was negotiated; an absent field means its default, not `false` (§1.6). */
const caps: z.ZodMiniType<SessionCaps> = z.object({
  supports_ibf: z._default(z.boolean(), true),
  supports_mst: z._default(z.boolean(), true),
  supports_postcard: z._default(z.boolean(), true),
  supports_encryption: z._default(z.boolean(), true),
  supports_webrtc: z._default(z.boolean(), false),
  max_tick_interval_ms: z._default(z.nullable(z.number()), null),
  supports_list_crdt: z._default(z.boolean(), true),
  supports_direct_blob_io: z._default(z.boolean(), true)
})

/** What a session may push per second; 0 is no limit (§6.4). */
const rate = z.object({ nodes: count, bytes: count })

/**
 * First frame of a good session (§1.7). `ext` answers `hello.client.ext`. An embedded host leaves out `root`, `frontier` and
 * `server_pubkey`, an original server `room`, `session_id`, `ext` and `rate`.
 */
const welcome = z.object({
  type: z.literal('welcome'),
  root: z.optional(hex),
  frontier: hexList,
  missing: hexList,
  caps: z._default(caps, caps.parse({})),
  server_pubkey: z.optional(hex),
  peers: texts,
  mst_root: z.optional(hex),
  room: someText,
  session_id: z.optional(count),
  ext: texts,
  rate: z.optional(rate)
})

const withheld = z.object({ id: hex, parents: hexList, lamport: count, author: hex })

/**
 * Nodes: a catch-up, an answer or a relay (§1.9, §2.3, §2.4). `seq` numbers relayed packs for clients that negotiated it; `withheld`
 * stands for nodes this session may not read (design §5, row 11).
 */
const pack = z.object({
  type: z.literal('pack'),
  from: z._default(text, ''),
  nodes: text,
  root: z.optional(hex),
  seq: z.optional(count),
  withheld: z.optional(z.array(withheld))
})

/** Entries of `pack-ack.rejected` that are read; no server sends more (§2.2). */
const MAX_REJECTED = 64

/** §2.2; `accepted_count` includes `duplicate_count`, `id` echoes the id of the client's pack. */
const packAck = z.object({
  type: z.literal('pack-ack'),
  room: someText,
  id: z.optional(z.union([text, z.number()])),
  incoming_count: count,
  accepted_count: count,
  rejected_count: count,
  duplicate_count: z._default(count, 0),
  rejected: z._default(z.array(z.object({ id: hex, code: text, msg: note, retry: z.catch(z.optional(z.boolean()), undefined) })).check(z.maxLength(MAX_REJECTED)), [])
})

/** §6.1. Nothing in it is worth losing the rest: every field that cannot be read is absent. `hash` names the blob it is about (§3.1). */
const error = z.object({
  type: z.literal('error'),
  msg: z.catch(text, ''),
  code: note,
  reason_class: note,
  command: note,
  required_capability: note,
  hash: z.catch(z.optional(hex), undefined),
  status: z.catch(z.optional(z.number()), undefined),
  retry: z.catch(z.optional(z.boolean()), undefined),
  detail: z.optional(z.unknown())
})

const who = { from: someText, pubkey: someText, peer_id: someText, peer_type: someText }
interface Who { from?: string | undefined, pubkey?: string | undefined, peer_id?: string | undefined, peer_type?: string | undefined }

/** The dialects name the peer in one field or the other, or in both (§1.10). */
function named<Type extends string> (message: Who & { type: Type }): { type: Type, from: string, pubkey: string, peer_id: string, peer_type: string } {
  const pubkey = message.pubkey ?? message.from ?? ''
  return { type: message.type, from: message.from ?? pubkey, pubkey, peer_id: message.peer_id ?? pubkey, peer_type: message.peer_type ?? 'ui' }
}

const data = z.pipe(z.optional(z.unknown()), z.transform((value) => value ?? null))
const presence = z.object({ type: z.literal('presence'), from: text, data, room: someText, session_id: z.optional(count), joined: z.optional(z.boolean()) })
/** The dialects differ in the name of the peer's key (§4.1). */
const presenceEntry = z.pipe(
  z.object({ session_id: z.optional(count), from: someText, from_peer_pubkey: someText, data, expires_at_unix_ms: z.optional(z.nullable(z.number())) }),
  z.transform(({ session_id: session, from, from_peer_pubkey: pubkey, data: value, expires_at_unix_ms: expires }) =>
    ({ session_id: session, from_peer_pubkey: pubkey ?? from ?? '', data: value, expires_at_unix_ms: expires ?? null }))
)

const mstNode = z.object({ path: text, hash: hex, children: z.record(text, hex), keys: hexList })
const redirect = z.object({ hash: hex, url: text, expires_at_unix: z.optional(z.number()) })

const SCHEMAS = {
  welcome,
  pack,
  'pack-ack': packAck,
  error,
  'subscribe-ack': z.object({ type: z.literal('subscribe-ack'), patterns: z.optional(texts) }),
  'mst-response': z.object({ type: z.literal('mst-response'), nodes: z.array(mstNode) }),
  'peer-joined': z.pipe(z.object({ type: z.literal('peer-joined'), ...who }), z.transform(named)),
  'peer-left': z.pipe(z.object({ type: z.literal('peer-left'), ...who }), z.transform(named)),
  'blob-available': z.object({ type: z.literal('blob-available'), hashes: hexList }),
  'blob-redirect': z.object({ type: z.literal('blob-redirect'), redirects: z.array(redirect) }),
  'blob-pack': z.object({ type: z.literal('blob-pack'), blobs: z.array(z.object({ hash: hex, data: text })), requested: hexList }),
  'upload-granted': z.object({ type: z.literal('upload-granted'), hash: hex, url: text, expires_at_unix: z.optional(z.number()) }),
  'upload-denied': z.object({ type: z.literal('upload-denied'), hash: hex, reason: z.catch(text, '') }),
  'upload-rejected': z.object({ type: z.literal('upload-rejected'), hash: hex, reason: z.catch(text, '') }),
  presence,
  'presence-snapshot': z.object({ type: z.literal('presence-snapshot'), room: someText, entries: z.array(presenceEntry) }),
  'presence-leave': z.object({ type: z.literal('presence-leave'), room: someText, session_id: z.optional(count), from: text, reason: z.catch(z.enum(['leave', 'stale']), 'leave') }),
  'webrtc-offer': z.looseObject({ type: z.literal('webrtc-offer'), from: text }),
  'webrtc-answer': z.looseObject({ type: z.literal('webrtc-answer'), from: text }),
  'webrtc-ice': z.looseObject({ type: z.literal('webrtc-ice'), from: text }),
  'room-locked': z.object({ type: z.literal('room-locked'), pubkey: text }),
  'policy-set': z.object({ type: z.literal('policy-set') }),
  'server-info': z.object({ type: z.literal('server-info'), pubkey: text, version: someText, caps: z.optional(caps) }),
  'tick-started': z.object({ type: z.literal('tick-started'), interval_ms: z.number() }),
  'tick-already-running': z.object({ type: z.literal('tick-already-running'), interval_ms: z.number() }),
  'tick-stopped': z.object({ type: z.literal('tick-stopped') }),
  'snapshot-pack': z.object({ type: z.literal('snapshot-pack'), pack_b64: text, snapshot_hash: hex }),
  'compact-ack': z.object({ type: z.literal('compact-ack'), snapshot_hash: hex })
}

type Schemas = typeof SCHEMAS

/** What the server sends in a session; the control families add their own results (spec/control-plane.md). */
export type ServerMessage = { [Type in keyof Schemas]: z.output<Schemas[Type]> }[keyof Schemas]
export type ServerMessageOf<Type extends ServerMessage['type']> = Extract<ServerMessage, { type: Type }>
export type Welcome = ServerMessageOf<'welcome'>
export type PackMessage = ServerMessageOf<'pack'>
export type PackAck = ServerMessageOf<'pack-ack'>
export type ErrorMessage = ServerMessageOf<'error'>
export type WithheldNode = z.output<typeof withheld>
export type PresenceEntry = z.output<typeof presenceEntry>
/** Whatever else was in the signal is passed on (§4.2). */
export type Signal = ServerMessageOf<'webrtc-offer' | 'webrtc-answer' | 'webrtc-ice'>
export type MstNode = z.output<typeof mstNode>
export type Rate = z.output<typeof rate>

const BY_TYPE: ReadonlyMap<string, Schemas[keyof Schemas]> = new Map(Object.entries(SCHEMAS))

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
  const read = schema.safeParse(value)
  if (read.success) return read.data
  const [issue] = read.error.issues
  throw new NodalmergeError('reject.protocol_invalid_field', `${name}: ${issue.path.join('.')} cannot be read`, { cause: read.error })
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
