import t from 'tap'
import { createPace } from '../../lib/client/pace.js'
import { type LinkState, createLink } from '../../lib/client/link.js'
import { createPresence } from '../../lib/client/presence.js'
import { type ServerMessage, MAX_FRAME, parseServerMessage } from '../../lib/protocol/server-message.js'
import { createFakeClock } from '../../lib/testing/clock.js'
import { blake3, createShelf } from './link-blobs.js'
import { createBlobs } from '../../lib/client/blobs.js'
import { WELCOME, scriptedServer, settled } from './link-socket.js'

const ID = 'ab'.repeat(32)
const CAPS = {
  supports_ibf: true,
  supports_mst: false,
  supports_postcard: true,
  supports_encryption: true,
  supports_webrtc: false,
  max_tick_interval_ms: null,
  supports_list_crdt: true,
  supports_direct_blob_io: true
}

/** One message of each type with every field. */
const MESSAGES: Record<ServerMessage['type'], object> = {
  welcome: { room: 'r', session_id: 1, root: ID, frontier: [ID], missing: [ID], caps: CAPS, server_pubkey: ID, peers: ['x'], mst_root: ID, ext: ['ack'], rate: { nodes: 1, bytes: 2 } },
  pack: { from: 'server', nodes: 'AA==', root: ID, seq: 1, withheld: [{ id: ID, parents: [ID], lamport: 1, author: ID }] },
  'pack-ack': { room: 'r', id: 1, incoming_count: 3, accepted_count: 2, rejected_count: 1, duplicate_count: 0, rejected: [{ id: ID, code: 'reject.policy_violation', msg: 'no', retry: false }] },
  error: { msg: 'no', code: 'reject.internal', reason_class: 'reject.internal', command: 'c', required_capability: 'cap', hash: ID, status: 500, retry: true, detail: { a: 1 } },
  'subscribe-ack': { patterns: ['**'] },
  'mst-response': { nodes: [{ path: '', hash: ID, children: { a: ID }, keys: [ID] }] },
  'peer-joined': { from: 'k', pubkey: 'k', peer_id: 'p', peer_type: 'ui' },
  'peer-left': { from: 'k', pubkey: 'k', peer_id: 'p', peer_type: 'ui' },
  'blob-available': { hashes: [ID] },
  'blob-redirect': { redirects: [{ hash: ID, url: 'https://x', expires_at_unix: 1 }] },
  'blob-pack': { blobs: [{ hash: ID, data: 'AA==' }], requested: [ID] },
  'upload-granted': { hash: ID, url: 'https://x', expires_at_unix: 1 },
  'upload-denied': { hash: ID, reason: 'use-ws' },
  'upload-rejected': { hash: ID, reason: 'object not found' },
  presence: { from: 'k', data: { a: [1] }, room: 'r', session_id: 1, joined: true },
  'presence-snapshot': { room: 'r', entries: [{ session_id: 1, from_peer_pubkey: 'k', data: {}, expires_at_unix_ms: 5 }] },
  'presence-leave': { room: 'r', session_id: 1, from: 'k', reason: 'stale' },
  'webrtc-offer': { from: 'k', sdp: { type: 'offer' } },
  'webrtc-answer': { from: 'k', sdp: 'x' },
  'webrtc-ice': { from: 'k', candidate: 'c', sdpMid: 0 },
  'room-locked': { pubkey: ID },
  'policy-set': {},
  'server-info': { pubkey: ID, version: '1', caps: CAPS },
  'tick-started': { interval_ms: 5 },
  'tick-already-running': { interval_ms: 5 },
  'tick-stopped': {},
  'snapshot-pack': { pack_b64: 'AA==', snapshot_hash: ID },
  'compact-ack': { snapshot_hash: ID }
}
const WRONG: unknown[] = [null, true, -1, 1.5, 1e300, 'text', '', [], [null, 5, {}, 'zz'], {}, { a: 1 }, { __proto__: null, length: 5 }, 'x'.repeat(100_000)]

const all = Object.entries(MESSAGES).map(([type, fields]) => ({ type, ...fields }))
const read = (message: unknown): unknown => parseServerMessage(JSON.stringify(message))

t.test('LK-15 every message is read whole; what is absent has its default', async (t) => {
  for (const message of all) t.same(read({ ...message, unknown: 1 }), message.type.startsWith('webrtc-') ? { ...message, unknown: 1 } : message, message.type)
  const upper = ID.toUpperCase()
  t.match(read({ type: 'welcome', frontier: [upper, 'zz', 5, null], root: upper }), { frontier: [ID], root: ID, missing: [], peers: [], ext: [], caps: { ...CAPS, supports_mst: true } })
  t.match(read({ type: 'welcome', peers: ['a', 5], caps: { supports_ibf: false } }), { peers: ['a'], caps: { supports_ibf: false, supports_list_crdt: true } })
  t.same(read({ type: 'pack', nodes: 'AA==' }), { type: 'pack', from: '', nodes: 'AA==' })
  t.match(read({ type: 'pack-ack', incoming_count: 1, accepted_count: 1, rejected_count: 0 }), { duplicate_count: 0, rejected: [] })
  t.same(read({ type: 'error', msg: 5, status: 'forbidden', hash: 'zz', retry: 1 }), { type: 'error', msg: '', hash: undefined, status: undefined, retry: undefined })
  t.same(read({ type: 'peer-left', from: 'k' }), { type: 'peer-left', from: 'k', pubkey: 'k', peer_id: 'k', peer_type: 'ui' })
  t.same(read({ type: 'peer-joined', pubkey: 'k' }), { type: 'peer-joined', from: 'k', pubkey: 'k', peer_id: 'k', peer_type: 'ui' })
  t.match(read({ type: 'peer-joined' }), { from: '' })
  t.match(read({ type: 'presence', from: 'k' }), { data: null })
  t.match(read({ type: 'presence-snapshot', entries: [{ from: 'k', peerId: 'p' }, {}] }), { entries: [{ from_peer_pubkey: 'k', data: null, expires_at_unix_ms: null }, { from_peer_pubkey: '' }] })
  t.match(read({ type: 'presence-leave', from: 'k', reason: 'why' }), { reason: 'leave' })
})

t.test('LK-16 what cannot be read has a code; a type that is not known is told', async (t) => {
  for (const frame of ['', '{', 'null', '5', '[]', '"welcome"']) t.throws(() => parseServerMessage(frame), { code: 'reject.protocol_invalid_message' })
  t.throws(() => parseServerMessage('x'.repeat(MAX_FRAME + 1)), { code: 'reject.protocol_message_too_large' })
  for (const message of [{ type: 'welcome', root: 5 }, { type: 'pack' }, { type: 'pack', nodes: 5 }, { type: 'pack-ack', incoming_count: -1 }, { type: 'blob-pack', blobs: 'x', requested: [] }]) {
    t.throws(() => read(message), { code: 'reject.protocol_invalid_field', message: /^[a-z-]+: [a-z_]+ cannot be read$/ })
  }
  t.throws(() => read({ ...MESSAGES['pack-ack'], type: 'pack-ack', rejected: Array.from({ length: 65 }, () => ({ id: ID, code: 'x' })) }), { code: 'reject.protocol_invalid_field' })
  for (const type of [undefined, 5, '', 'nope', '__proto__', 'constructor']) t.same(read({ type, x: 1 }), { type: 'unknown', name: typeof type === 'string' ? type : '', body: JSON.parse(JSON.stringify({ type, x: 1 })) })
  const deep = `${'['.repeat(200)}${']'.repeat(200)}`
  for (const type of ['presence', 'webrtc-ice', 'error', 'nope']) t.throws(() => parseServerMessage(`{"type":"${type}","from":"k","data":${deep}}`), { code: 'reject.protocol_invalid_message' })
})

t.test('LK-17 no field of any message, whatever its type, brings a link, presence or blobs down', async (t) => {
  const clock = createFakeClock()
  const server = scriptedServer()
  server.quick = true
  const faults: unknown[] = []
  const states: LinkState['state'][] = []
  const fault = (error: unknown): void => { faults.push(error) }
  const send = (message: Parameters<typeof link.send>[0]): boolean => link.send(message)
  const presence = createPresence({ pubkey: ID, clock, send, fault })
  const blobs = createBlobs({ storage: createShelf().storage, blake3, clock, random: () => 0.5, send, fault, mode: 'eager', fetch: async () => { throw new Error('no network here') } })
  const link = createLink({
    url: 'ws://hostile',
    room: 'plans',
    pubkey: ID,
    open: server.open,
    clock,
    random: () => 0.5,
    pace: createPace(clock),
    handlers: {
      greeting: () => ({ frontier: [] }),
      welcome (welcome, { ext }) {
        presence.welcome(welcome, ext.size > 0)
        blobs.welcome(welcome)
      },
      pack: () => {},
      ack: () => {},
      error: (message) => { blobs.message(message) },
      message (message) {
        presence.message(message)
        blobs.message(message)
      },
      fault,
      state (state) {
        states.push(state.state)
        if (state.state !== 'open' && state.state !== 'greeting') {
          presence.disconnected()
          blobs.disconnected()
        }
      }
    }
  })
  presence.set({ a: 1 })
  await blobs.put(Uint8Array.of(1))
  blobs.referenced([ID])
  link.connect()
  let frames = 0
  for (const message of all) {
    for (const field of ['type', ...Object.keys(message)]) {
      for (const value of WRONG) {
        if (link.state.state !== 'open') {
          clock.advance(60_000)
          await settled()
          server.last.frame(WELCOME)
        }
        server.last.frame({ ...message, [field]: value })
        frames++
      }
    }
  }
  await settled()
  t.ok(frames > 1_000)
  t.ok(faults.length > 100 && faults.every((error) => error instanceof Error))
  t.ok(states.includes('waiting'))
  t.notOk(states.includes('denied'))
  clock.advance(60_000)
  await settled()
  server.last.frame(WELCOME)
  t.equal(link.state.state, 'open', 'and it goes on')
  link.close()
  presence.close()
  blobs.close()
  await settled()
  t.equal(clock.pending, 0)
})

t.test('LK-18 a flood is worked off in bounded memory', async (t) => {
  const clock = createFakeClock()
  const faults: unknown[] = []
  const presence = createPresence({ pubkey: ID, clock, send: () => true, fault: (error) => { faults.push(error) } })
  const blobs = createBlobs({ storage: createShelf().storage, blake3, clock, random: () => 0, send: () => true, fault: () => {}, mode: 'eager' })
  let refused = 0
  for (let i = 0; i < 20_000; i++) {
    try {
      presence.message(parseServerMessage(`{"type":"presence","from":"k","session_id":${i},"data":{"i":${i}}}`))
    } catch { refused++ }
    blobs.message(parseServerMessage(`{"type":"blob-available","hashes":["${i.toString(16).padStart(64, '0')}"]}`))
    blobs.message(parseServerMessage(`{"type":"blob-pack","blobs":[{"hash":"${i.toString(16).padStart(64, '0')}","data":"AAAA"}],"requested":[]}`))
  }
  t.equal(presence.others().length, 4_096)
  t.equal(refused, 20_000 - 4_096)
  t.equal(blobs.unsent, 0)
  presence.close()
  blobs.close()
  t.equal(clock.pending, 0)
})
