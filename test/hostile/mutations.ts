const HEX = 'ab'.repeat(32)

/** A `hello` with every field the protocol knows. */
export const HELLO = {
  type: 'hello',
  room: 'plans',
  pubkey: HEX,
  peer_id: 'kiosk-7',
  peer_type: 'ui',
  root: HEX,
  frontier: [HEX],
  known: [HEX],
  ibf: 'UAIA',
  mst_root: HEX,
  caps: {
    supports_ibf: true,
    supports_mst: true,
    supports_postcard: true,
    supports_encryption: true,
    supports_webrtc: true,
    supports_list_crdt: true,
    supports_direct_blob_io: true,
    max_tick_interval_ms: 10
  },
  subscribe: ['world/**'],
  token: { peer_pubkey: HEX, expiry: 4_000_000_000, caps: ['policy.admin'], sig: 'ab'.repeat(64) },
  client: { name: 'x', version: '1', ext: ['ack'] }
}

/** One well-formed message of every type a live session may send; none of them changes what others may do. */
export const MESSAGES: readonly object[] = [
  { type: 'hello', pubkey: HEX },
  { type: 'pack', nodes: 'AA==', id: 1 },
  { type: 'request', known: [HEX] },
  { type: 'mst-request', paths: ['', '3f'] },
  { type: 'mst-done', ids: [HEX] },
  { type: 'subscribe', patterns: ['world/**', 'chat/*'] },
  { type: 'blob-upload', blobs: [{ hash: HEX, data: 'AAEC' }] },
  { type: 'blob-request', hashes: [HEX, 'x'] },
  { type: 'request-upload', hash: HEX, size: 5, content_type: 'image/png' },
  { type: 'blob-uploaded', hash: HEX },
  { type: 'presence', data: { cursor: [1, 2] }, ttl_ms: 1000, now_unix_ms: 1 },
  { type: 'presence-set', data: 'here', session_id: 1, ttl_ms: 1000, now_unix_ms: 1 },
  { type: 'presence-get' },
  { type: 'presence-sweep', now_unix_ms: 1 },
  { type: 'webrtc-offer', to: HEX, from: HEX, sdp: { type: 'offer', sdp: 'v=0' } },
  { type: 'webrtc-answer', to: HEX, sdp: { type: 'answer', sdp: 'v=0' } },
  { type: 'webrtc-ice', to: HEX, candidate: 'c', sdpMid: '0', sdpMLineIndex: 0 },
  { type: 'set-room-key', pubkey: HEX },
  { type: 'set-policy', default: 'deny', rules: [{ path_glob: 'a/**', can_write: [HEX] }] },
  { type: 'server-info' },
  { type: 'start-tick', interval_ms: 10, intent_prefix: 'intent/' },
  { type: 'stop-tick' },
  { type: 'compact-room' }
]

/** Stands for a field that is left out. */
const ABSENT = Symbol('absent')

/** Everything a field may be replaced by: every JSON type, the edges of each, and objects that look like something else. */
export const VALUES: readonly unknown[] = [
  ABSENT, null, true, false, 0, -0, -1, 1.5, 2 ** 31, 2 ** 53, 2 ** 64, 1e308, -1e308, '', 'x', ' ', '0', 'null', HEX, HEX.slice(1), HEX.toUpperCase(),
  'AA==', 'AAA', '====', '\u0000', '\ud800', '\ufeff', '😀'.repeat(50), 'x'.repeat(100_000), '*'.repeat(300), [], {}, [[]], [null], [0], [''], ['x'], [HEX, HEX], [[[[[]]]]],
  new Array<string>(2_000).fill('x'), { length: 1e9 }, { 0: 'a', length: 1 }, { type: 'hello' }, { toString: 1, valueOf: 1, toJSON: 1, then: 1 },
  JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"prototype":{"polluted":true}}'),
  JSON.parse('['.repeat(500) + ']'.repeat(500))
]

/** Every place in a message, the message itself included. */
function * places (value: unknown, path: readonly string[] = []): Generator<readonly string[]> {
  yield path
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) yield * places(inner, [...path, key])
}

function replace (value: unknown, path: readonly string[], by: unknown): unknown {
  if (path.length === 0) return by
  const [key, ...rest] = path
  const copy = structuredClone(value) as Record<string, unknown>
  const inner = replace(copy[key], rest, by)
  if (inner !== ABSENT) copy[key] = inner
  else if (Array.isArray(copy)) copy.splice(Number(key), 1)
  else delete copy[key]
  return copy
}

export interface Mutation { name: string, text: string }

/** The message with each of its fields replaced by each of the values, and with one field more. */
export function * mutations (message: object, below = ''): Generator<Mutation> {
  const type = 'type' in message ? String(message.type) : ''
  for (const path of places(message)) {
    if (!path.join('.').startsWith(below)) continue
    for (const [i, value] of VALUES.entries()) {
      const text = JSON.stringify(replace(message, path, value))
      if (text !== undefined) yield { name: `${type} ${path.join('.')} value ${i}`, text }
    }
  }
  yield { name: `${type} with more`, text: JSON.stringify({ ...message, more: VALUES.slice(0, 20), constructor: 1 }).replace('{', '{"__proto__":{"type":"pack"},') }
}
