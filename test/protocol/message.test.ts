import t from 'tap'
import fc from 'fast-check'
import { DEFAULT_CAPS, negotiateCaps, readCaps } from '../../lib/protocol/caps.js'
import { type ClientMessage, type UnknownMessage, parseMessage } from '../../lib/protocol/message.js'
import { HELLO_LIMITS } from '../../lib/protocol/message-limits.js'
import { readPolicy } from '../../lib/protocol/policy.js'
import { published } from './vectors.js'

const read = (message: unknown): ClientMessage | UnknownMessage => parseMessage(JSON.stringify(message))
/** What is read, as it would be written: fields that are undefined are absent. */
const shown = (message: unknown): unknown => JSON.parse(JSON.stringify(read(message)))
const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)

const ANYTHING = [undefined, null, true, 0, -1, 1.5, 7, 'text', [], ['x', 1, null], {}, { a: 1 }]

t.test('MG-1 what is not JSON is refused; what names no known type is unknown', async (t) => {
  const invalid = { code: 'reject.protocol_invalid_message', message: 'invalid JSON' }
  for (const frame of ['', '{', 'hello', '{"type":"pack"', '\u0000']) t.throws(() => parseMessage(frame), invalid)
  for (const frame of ['null', '1', '"hello"', '[]', '[{"type":"pack"}]']) t.same(parseMessage(frame), { type: 'unknown', name: '', body: {} })
  for (const type of [undefined, null, 1, {}, ['pack']]) t.match(read({ type }), { type: 'unknown', name: '' })
  for (const type of ['nope', 'start-tick', 'archive.export', 'constructor', '__proto__', 'toString', 'Pack', 'unknown', '']) t.same(read({ type, x: 1 }), { type: 'unknown', name: type, body: { type, x: 1 } })
})

t.test('MG-2 a hello without anything has its defaults', async (t) => {
  t.same(shown({ type: 'hello' }), { type: 'hello', pubkey: '', peer_type: 'ui', frontier: [], caps: DEFAULT_CAPS, subscribe: [] })
  const full = {
    type: 'hello',
    room: 'plans',
    pubkey: 'ab',
    peer_id: 'kiosk-7',
    peer_type: 'board',
    root: '00',
    frontier: ['aa', 1],
    known: [],
    ibf: 'UAIA',
    mst_root: '11',
    caps: { ...DEFAULT_CAPS, supports_ibf: false },
    subscribe: ['world/**'],
    token: { peer_pubkey: 'x', anything: [1] },
    client: { name: 'nodalmerge', version: '1', ext: ['ack'] }
  }
  t.same(shown({ ...full, extra: 1 }), full)
  t.match(read({ type: 'hello', subscribe: [' a ', '', '  ', 7, 'b'], client: { ext: ['ack', 3] } }), { subscribe: ['a', 'b'], client: { name: '', version: '', ext: ['ack'] } })
})

t.test('MG-3 a field of the wrong type is an absent one, in every message', async (t) => {
  const fields: Record<string, string[]> = {
    hello: ['room', 'pubkey', 'peer_id', 'peer_type', 'root', 'frontier', 'known', 'ibf', 'mst_root', 'caps', 'subscribe', 'token', 'client'],
    pack: ['nodes', 'id'],
    subscribe: ['patterns'],
    request: ['known'],
    'mst-request': ['paths'],
    'mst-done': ['ids'],
    'blob-upload': ['blobs'],
    'blob-request': ['hashes', 'prefer'],
    'request-upload': ['hash', 'size', 'content_type'],
    'blob-uploaded': ['hash'],
    presence: ['data', 'session_id'],
    'presence-set': ['data', 'session_id'],
    'presence-get': [],
    'presence-sweep': ['now_unix_ms'],
    'webrtc-offer': ['to', 'sdp'],
    'webrtc-answer': ['to'],
    'webrtc-ice': ['candidate'],
    'set-room-key': ['pubkey'],
    'set-policy': ['default', 'rules'],
    'server-info': []
  }
  for (const [type, names] of Object.entries(fields)) {
    const absent = read({ type })
    t.equal(absent.type, type)
    for (const name of names) {
      const field = (message: unknown) => (message as Record<string, unknown>)[name]
      for (const value of ANYTHING) {
        const message = read({ type, [name]: value })
        t.equal(message.type, type)
        const expected = field(absent)
        if (expected !== undefined && name !== 'data') t.equal(Array.isArray(field(message)), Array.isArray(expected), `${type}.${name}`)
        if (expected !== undefined && name !== 'data') t.equal(typeof field(message), typeof expected, `${type}.${name} ${JSON.stringify(value)}`)
      }
    }
  }
  t.same(shown({ type: 'request-upload', hash: 'aa', size: -1 }), { type: 'request-upload', hash: 'aa', size: 0 })
  t.same(shown({ type: 'mst-request', paths: ['', '3f', 5] }), { type: 'mst-request', paths: ['', '3f'] })
  t.same(shown({ type: 'blob-request', hashes: ['aa', null], prefer: 'ws' }), { type: 'blob-request', hashes: ['aa'], prefer: 'ws' })
  t.same(shown({ type: 'presence-sweep', now_unix_ms: '5' }), { type: 'presence-sweep' })
})

t.test('MG-3 any JSON is read without being thrown at', async (t) => {
  const types = fc.constantFrom('hello', 'pack', 'subscribe', 'blob-upload', 'presence-sweep', 'set-policy', 'webrtc-ice', 'request', 'archive.export', 'x')
  fc.assert(fc.property(types, fc.dictionary(fc.constantFrom('nodes', 'caps', 'blobs', 'patterns', 'known', 'token', 'rules', 'client', '__proto__'), fc.jsonValue()), (type, fields) => {
    const message = read({ ...fields, type })
    return message.type === (type === 'x' || type === 'archive.export' ? 'unknown' : type)
  }))
})

t.test('MG-4 a pack is a string of nodes and an id to be echoed', async (t) => {
  t.same(read({ type: 'pack', nodes: 'AA==' }), { type: 'pack', nodes: 'AA==', id: undefined })
  t.match(read({ type: 'pack', nodes: 'AA==', id: 'p-1', more: [] }), { id: 'p-1' })
  t.match(read({ type: 'pack', nodes: ['AA=='], id: 7 }), { nodes: '', id: 7 })
  for (const id of [null, {}, 'x'.repeat(129), true]) t.match(read({ type: 'pack', nodes: '', id }), { id: undefined })
})

t.test('MG-5 blob uploads take `data`, else `data_b64`', async (t) => {
  const blobs = [{ hash: 'a', data: 'AA==', data_b64: 'BB==' }, { hash: 'b', data_b64: 'CC==' }, { hash: 'c', data: 5, data_b64: 'DD==' }, { data: 'EE==' }, 'no', null]
  t.match(read({ type: 'blob-upload', blobs }), {
    blobs: [{ hash: 'a', data: 'AA==' }, { hash: 'b', data: 'CC==' }, { hash: 'c', data: 'DD==' }, { hash: '', data: 'EE==' }]
  })
  t.match(read({ type: 'blob-upload', blobs: { 0: 'x' } }), { blobs: undefined }, 'not an array: to be ignored')
  t.same(read({ type: 'blob-upload', blobs: [] }), { type: 'blob-upload', blobs: [] })
})

t.test('MG-6 presence keeps its data; its lease is refused with the exact text', async (t) => {
  for (const type of ['presence', 'presence-set']) {
    t.same(shown({ type }), { type, data: null })
    t.same(shown({ type, data: { x: [1, null] }, ttl_ms: 5, now_unix_ms: 0, session_id: 3 }), { type, data: { x: [1, null] }, session_id: 3, ttl_ms: 5, now_unix_ms: 0 })
    const rows: [object, string][] = [
      [{ ttl_ms: null }, 'ttl_ms_must_be_positive_u64'],
      [{ ttl_ms: 0, now_unix_ms: 'x' }, 'ttl_ms_must_be_positive_u64'],
      [{ ttl_ms: 1.5 }, 'ttl_ms_must_be_positive_u64'],
      [{ now_unix_ms: null }, 'now_unix_ms_must_be_u64'],
      [{ ttl_ms: 5, now_unix_ms: -1 }, 'now_unix_ms_must_be_u64'],
      [{ ttl_ms: 5 }, 'ttl_ms_requires_now_unix_ms'],
      [{ now_unix_ms: 5 }, 'now_unix_ms_requires_ttl_ms']
    ]
    for (const [lease, why] of rows) {
      t.throws(() => read({ type, ...lease }), { code: 'reject.presence_lease_invalid', message: `reject.presence_lease_invalid:${why}` })
    }
  }
})

t.test('MG-7 signals are passed on as they are, whatever they hold', async (t) => {
  const signal = { type: 'webrtc-ice', to: 'x', candidate: { a: 1 }, sdpMid: null, sdpMLineIndex: 0 }
  t.same(shown(signal), signal)
  const hostile = parseMessage('{"type":"webrtc-offer","__proto__":{"polluted":true},"sdp":"v=0"}')
  t.equal((hostile as unknown as { polluted?: boolean }).polluted, undefined)
})

t.test('MG-8 a hello and a subscription have limits', async (t) => {
  const field = { code: 'reject.protocol_invalid_field' }
  const { name, pattern, patterns, frame } = HELLO_LIMITS
  for (const key of ['pubkey', 'peer_id', 'peer_type']) {
    t.ok(read({ type: 'hello', [key]: 'é'.repeat(name / 2) }))
    t.throws(() => read({ type: 'hello', [key]: 'é'.repeat(name / 2) + 'x' }), field, key)
    t.throws(() => read({ type: 'hello', [key]: 'x'.repeat(name + 1) }), field, key)
  }
  const many = (count: number) => Array.from({ length: count }, (_, i) => `p/${i}`)
  for (const [type, key] of [['hello', 'subscribe'], ['subscribe', 'patterns']]) {
    t.ok(read({ type, [key]: [...many(patterns - 1), 'x'.repeat(pattern)] }))
    t.throws(() => read({ type, [key]: many(patterns + 1) }), field)
    t.throws(() => read({ type, [key]: ['€'.repeat(pattern / 2)] }), field)
  }
  const ids = Array.from({ length: Math.ceil(frame / 67) + 1 }, () => '0'.repeat(64))
  t.throws(() => read({ type: 'hello', frontier: ids }), { code: 'reject.protocol_message_too_large' })
  t.ok(read({ type: 'request', known: ids }), 'only a hello is this short')
})

t.test('MG-9 JSON nested deeper than 128 is refused where it would be walked or written again', async (t) => {
  for (const type of ['presence', 'webrtc-offer', 'set-policy', 'archive.export']) {
    const frame = (depth: number) => `{"type":"${type}","data":${nested(depth)}}`
    t.equal(parseMessage(frame(127)).type, type === 'archive.export' ? 'unknown' : type)
    t.throws(() => parseMessage(frame(130)), { code: 'reject.protocol_invalid_message', message: 'invalid JSON' })
    t.throws(() => parseMessage(frame(200_000)), { code: 'reject.protocol_invalid_message' })
  }
  t.ok(parseMessage(`{"type":"pack","nodes":"","x":${nested(5000)}}`), 'what nobody looks at may be as deep as it likes')
})

t.test('MG-10 a policy is read with the exact refusals', async (t) => {
  const policy = (fields: object) => {
    const message = read({ type: 'set-policy', ...fields })
    if (message.type !== 'set-policy') throw new Error(message.type)
    return readPolicy(message)
  }
  t.same(policy({}), { rules: [], default: 'allow' })
  t.same(policy({ default: 3, rules: {} }), { rules: [], default: 'allow' })
  const rule = { pathGlob: 'world/**', canWrite: ['ab'.repeat(32)], canRead: [], canDerive: [] }
  t.same(policy({ default: 'deny', rules: [{ path_glob: 'world/**', can_write: ['AB'.repeat(32)] }, { path_glob: '*', allow: ['x'] }] }),
    { default: 'deny', rules: [rule, { ...rule, pathGlob: '*', canWrite: [] }] })
  const refused: [object, string][] = [
    [{ default: 'custom', rules: 5 }, "set-policy: unknown default 'custom', use 'allow' or 'deny'"],
    [{ rules: [{ path_glob: 7 }] }, "set-policy: each rule must have a 'path_glob' string"],
    [{ rules: [null] }, "set-policy: each rule must have a 'path_glob' string"],
    [{ rules: [{ path_glob: 'a', can_write: ['zz'] }] }, "set-policy: invalid pubkey hex 'zz'"],
    [{ rules: [{ path_glob: 'a', can_write: [7] }] }, "set-policy: invalid pubkey hex ''"],
    [{ rules: [{ path_glob: 'a'.repeat(513) }] }, "set-policy: a 'path_glob' is longer than 512 characters"]
  ]
  for (const [fields, message] of refused) t.throws(() => policy(fields), { code: 'reject.protocol_invalid_field', message })
  t.ok(published.reference.rejection_strings.includes(refused[0][1]))
})

t.test('CP-6 an offer is read with its defaults, as a whole', async (t) => {
  const { defaults, tick_interval_intersection: intervals } = published.reference.negotiated_capabilities
  t.same(DEFAULT_CAPS, defaults)
  t.same(readCaps({}), defaults)
  t.same(readCaps({ supports_mst: false, max_tick_interval_ms: 5, unknown: 1 }), { ...defaults, supports_mst: false, max_tick_interval_ms: 5 })
  for (const wrong of [undefined, null, 'x', [], { supports_mst: false, supports_ibf: 1 }, { supports_mst: false, supports_webrtc: null }, { supports_mst: false, max_tick_interval_ms: -1 }]) {
    t.same(readCaps(wrong), defaults, JSON.stringify(wrong))
  }
  for (const { a, b, result } of intervals) {
    const offer = (interval: number | null) => readCaps({ max_tick_interval_ms: interval })
    t.equal(negotiateCaps(offer(a), offer(b)).max_tick_interval_ms, result)
    t.equal(negotiateCaps(offer(b), offer(a)).max_tick_interval_ms, result)
  }
  const names = Object.keys(defaults).filter((name) => name !== 'max_tick_interval_ms')
  const all = (value: boolean) => readCaps(Object.fromEntries(names.map((name) => [name, value])))
  for (const name of names) {
    const one = { ...all(true), [name]: false }
    t.same(negotiateCaps(all(true), one), one, name)
    t.same(negotiateCaps(one, all(true)), one, name)
  }
})
