import * as z from 'zod'
import { NodalmergeError } from '../errors.js'
import { readCaps, u64 } from './caps.js'
import { checkHello, checkPatterns, checkPresence, tooDeep } from './message-limits.js'

/**
 * What a client may send (spec/session-protocol.md §1 to §5). Reading is lenient: a field of the wrong type is an absent one and takes
 * its default, unknown fields are dropped. Hexadecimal stays text; long lists of it stay lists of unknown entries, to be read one by
 * one with `fromHex`, so that a list of a million ids is not copied here.
 */

const text = z.string().catch('')
const someText = z.string().optional().catch(undefined)
const number = u64.optional().catch(undefined)
const rawList = z.custom<readonly unknown[]>((value) => Array.isArray(value))
const list = rawList.catch(() => [])
const strings = list.transform((entries) => entries.filter((entry) => typeof entry === 'string'))
const patterns = strings.transform((entries) => entries.map((entry) => entry.trim()).filter((entry) => entry !== ''))
const record = z.custom<Readonly<Record<string, unknown>>>(isRecord)

/** Who the client is and which extensions it speaks (spec/client.md §11.1). */
const client = z.object({ name: text, version: text, ext: strings })

const hello = z.object({
  type: z.literal('hello'),
  room: someText,
  pubkey: text,
  /** Falls back to `pubkey`. */
  peer_id: someText,
  peer_type: z.string().catch('ui'),
  root: someText,
  frontier: list,
  known: rawList.optional().catch(undefined),
  ibf: someText,
  mst_root: someText,
  caps: z.unknown().optional().transform(readCaps),
  /** Trimmed; empty means everything. */
  subscribe: patterns,
  /** Read by `verifyToken`, which has its own words for what is missing in it. */
  token: record.optional().catch(undefined),
  client: client.optional().catch(undefined)
})

const packId = z.union([z.string().max(128), z.number()])

const pack = z.object({ type: z.literal('pack'), nodes: text, id: packId.optional().catch(undefined) })

/** `data`, else `data_b64` (§3.1). */
const blob = z.object({ hash: text, data: someText, data_b64: text }).transform((entry) => ({ hash: entry.hash, data: entry.data ?? entry.data_b64 }))

/** A broadcast of any JSON, `null` when there is none; `ttl_ms` and `now_unix_ms` are both there or both absent (§4.1). */
const presenceFields = { data: z.unknown().optional().transform((data) => data ?? null), session_id: number, ttl_ms: number, now_unix_ms: number }

const SCHEMAS = {
  hello,
  pack,
  subscribe: z.object({ type: z.literal('subscribe'), patterns }),
  request: z.object({ type: z.literal('request'), known: list }),
  'mst-request': z.object({ type: z.literal('mst-request'), paths: strings }),
  'mst-done': z.object({ type: z.literal('mst-done'), ids: list }),
  'blob-upload': z.object({
    type: z.literal('blob-upload'),
    /** Absent when it was not an array: such a message is ignored. */
    blobs: rawList.transform((entries) => entries.flatMap((entry) => blob.safeParse(entry).data ?? [])).optional().catch(undefined)
  }),
  'blob-request': z.object({ type: z.literal('blob-request'), hashes: strings, prefer: z.literal('ws').optional().catch(undefined) }),
  'request-upload': z.object({ type: z.literal('request-upload'), hash: text, size: u64.catch(0), content_type: someText }),
  'blob-uploaded': z.object({ type: z.literal('blob-uploaded'), hash: text }),
  presence: z.object({ type: z.literal('presence'), ...presenceFields }),
  'presence-set': z.object({ type: z.literal('presence-set'), ...presenceFields }),
  'presence-get': z.object({ type: z.literal('presence-get') }),
  'presence-sweep': z.object({ type: z.literal('presence-sweep'), now_unix_ms: number }),
  'webrtc-offer': z.looseObject({ type: z.literal('webrtc-offer') }),
  'webrtc-answer': z.looseObject({ type: z.literal('webrtc-answer') }),
  'webrtc-ice': z.looseObject({ type: z.literal('webrtc-ice') }),
  'set-room-key': z.object({ type: z.literal('set-room-key'), pubkey: text }),
  /** Read by `readPolicy`, after the capability was checked. */
  'set-policy': z.object({ type: z.literal('set-policy'), default: z.unknown().optional(), rules: z.unknown().optional() }),
  'server-info': z.object({ type: z.literal('server-info') })
}

type Schemas = typeof SCHEMAS

/** A client message, told apart by `type`. */
export type ClientMessage = { [Type in keyof Schemas]: z.output<Schemas[Type]> }[keyof Schemas]
export type MessageOf<Type extends ClientMessage['type']> = Extract<ClientMessage, { type: Type }>

/** Everything else: `name` is the type it named, '' when it named none; `body` is the whole object, `{}` when it was none. */
export interface UnknownMessage { type: 'unknown', name: string, body: Readonly<Record<string, unknown>> }

const BY_TYPE: ReadonlyMap<string, Schemas[keyof Schemas]> = new Map(Object.entries(SCHEMAS))

/**
 * Reads one text frame. Throws `reject.protocol_invalid_message` (`invalid JSON`) for what is not JSON, or nested more than 128 deep
 * where that matters; `reject.protocol_invalid_field` and `reject.protocol_message_too_large` for a hello or a subscription beyond its
 * limits (§1.3); `reject.presence_lease_invalid` (§4.1).
 */
export function parseMessage (frame: string): ClientMessage | UnknownMessage {
  const value = parseJson(frame)
  if (!isRecord(value)) return { type: 'unknown', name: '', body: {} }
  switch (value.type) {
    case 'pack': return readPack(value)
    case 'hello': return checkHello(hello.parse(value), frame)
    case 'subscribe': return checkPatterns(SCHEMAS.subscribe.parse(value))
    default: return readOther(value, typeof value.type === 'string' ? value.type : '')
  }
}

function parseJson (frame: string): unknown {
  try {
    return JSON.parse(frame)
  } catch (cause) {
    throw invalidJson(cause)
  }
}

function invalidJson (cause: unknown): NodalmergeError {
  return new NodalmergeError('reject.protocol_invalid_message', 'invalid JSON', { cause })
}

/** The hot path: what `pack.parse` does, without its cost. */
function readPack ({ nodes, id }: Readonly<Record<string, unknown>>): MessageOf<'pack'> {
  return { type: 'pack', nodes: typeof nodes === 'string' ? nodes : '', id: id === undefined ? undefined : packId.safeParse(id).data }
}

function readOther (value: Readonly<Record<string, unknown>>, name: string): ClientMessage | UnknownMessage {
  const schema = BY_TYPE.get(name)
  if (mayNest(name, schema === undefined) && tooDeep(value)) throw invalidJson('nested too deep')
  if (schema === undefined) return { type: 'unknown', name, body: value }
  if (name.startsWith('presence')) checkPresence(value)
  return schema.parse(value)
}

/** Whether the message carries JSON of the client's own making, which will be walked or written again. */
function mayNest (name: string, unknown: boolean): boolean {
  return unknown || name.startsWith('presence') || name.startsWith('webrtc-') || name === 'set-policy'
}

function isRecord (value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
