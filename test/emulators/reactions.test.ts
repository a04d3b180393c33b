import t from 'tap'
import { readFileSync } from 'node:fs'
import { fromBase64, toBase64 } from '../../lib/protocol/base64.js'
import { loadBlake3 } from '../../lib/protocol/blake3-wasm.js'
import { fromHex, toHex } from '../../lib/protocol/hex.js'
import { idOf } from '../../lib/protocol/node.js'
import { scanPack } from '../../lib/protocol/pack.js'
import { createFakeClock } from '../../lib/testing/clock.js'
import type { Message } from '../../lib/testing/connection.js'
import { createPeer } from '../../lib/testing/peer.js'
import { type WebSocketLike, createSocketPair } from '../../lib/testing/socket.js'
import { type DClient, type DOptions, createDClient, roomUrl } from './d-client.js'
import { IBF_KEYS, filter32, indices32 } from './ibf32.js'
import { EMPTY_ROOT, MST_KEYS, createMst } from './mst.js'
import { createRClient } from './r-client.js'

const blake3 = await loadBlake3([...IBF_KEYS, ...MST_KEYS])
const vectors = JSON.parse(readFileSync(new URL('../vectors/vectors-public.json', import.meta.url), 'utf8')).derived
const OTHER = 'e'.repeat(64)
const settle = async (): Promise<void> => { await new Promise(setImmediate) }
const idsIn = (message: Message): string[] => scanPack(fromBase64(String(message.nodes))).map((node) => toHex(idOf(node)))

/** A server of which the test writes every word. */
function scripted (): { open: () => ReturnType<typeof createSocketPair>['client'], heard: Message[], say: (message: object) => Promise<void>, hangUp: () => Promise<void>, opened: () => number } {
  const heard: Message[] = []
  let pair = createSocketPair()
  let count = 0
  return {
    heard,
    opened: () => count,
    open () {
      pair = createSocketPair()
      count++
      pair.server.onMessage((text) => heard.push(JSON.parse(text)))
      return pair.client
    },
    async say (message) {
      pair.server.send(JSON.stringify(message))
      await settle()
    },
    async hangUp () {
      pair.server.close(1011)
      await settle()
    }
  }
}

function neverOpening (): WebSocketLike {
  return {
    readyState: 0,
    send () {},
    close () {},
    addEventListener (type: string, listen: (event: never) => void) {
      if (type === 'close') setImmediate(listen as (event: object) => void, { code: 1006, reason: '' })
    }
  }
}

async function connected (own: number, options: Partial<DOptions> = {}): Promise<{ d: DClient, ids: string[], server: ReturnType<typeof scripted> }> {
  const server = scripted()
  const d = createDClient({ blake3, serverUrl: 'ws://h', room: 'r', open: server.open, clock: createFakeClock(), ...options })
  const ids = Array.from({ length: own }, (_, i) => d.set(`k/${i}`, i))
  await settle()
  d.connect()
  await settle()
  return { d, ids, server }
}

t.test('EM-20 the filter and the trie of the emulators are those of the vectors', async (t) => {
  for (const { id_hex: id, indices_if_truncated_to_32bit: indices } of vectors.ibf.per_id) t.same(indices32(fromHex(id, 32) ?? new Uint8Array(), blake3), indices)
  t.equal(fromBase64(filter32([OTHER], blake3)).length, 2961)
  const empty = vectors.ibf.filters.find(({ name }: { name: string }) => name === 'empty')
  t.equal(filter32([], blake3), empty.encoded_base64)
  for (const { ids_hex: ids, root_hex: root, nodes } of vectors.mst.filter((vector: object) => 'ids_hex' in vector && 'nodes' in vector)) {
    const mst = createMst(blake3, ids)
    t.equal(mst.root(), root)
    for (const [path, node] of Object.entries(nodes)) t.same(mst.node(path), { path, ...node as object })
  }
  t.equal(createMst(blake3, []).node(''), null)
})

t.test('EM-21 addresses of the D-client', async (t) => {
  t.equal(roomUrl('ws://h:1', 'a/b c'), 'ws://h:1/ws/a%2Fb%20c')
  t.equal(roomUrl('ws://h:1/base/', 'r'), 'ws://h:1/base/ws/r')
  t.equal(roomUrl('ws://h:1/ws/runtime', 'r'), 'ws://h:1/ws/runtime')
})

t.test('EM-22 the D-client opens with hello, all its blobs and its presence, and waits for nothing', async (t) => {
  const server = scripted()
  const d = createDClient({ blake3, serverUrl: 'ws://h', room: 'r', open: server.open, subscribe: ['a/**'], token: { sig: 'x' } })
  const hash = d.setBlob('b', Buffer.from('bytes'))
  d.setPresence({ x: 1 })
  await settle()
  d.connect()
  await settle()
  d.set('k', 1)
  d.set('k', 2)
  d.set('k', 3)
  await settle()
  t.same(server.heard.map(({ type }) => type), ['hello', 'blob-upload', 'presence', 'pack', 'pack', 'pack'])
  t.match(server.heard[0], { room: 'r', pubkey: d.pubkey, subscribe: ['a/**'], token: { sig: 'x' }, caps: { supports_mst: true, max_tick_interval_ms: null } })
  t.same(Object.keys(server.heard[0]).sort(), ['caps', 'frontier', 'ibf', 'mst_root', 'pubkey', 'room', 'root', 'subscribe', 'token', 'type'])
  t.same(server.heard[1].blobs, [{ hash, data: toBase64(Buffer.from('bytes')) }])
  t.equal(idsIn(server.heard[3]).length, 4, 'what was written before the connection too: nothing was marked')
  t.same(server.heard.slice(4).map(({ nodes }) => nodes), ['AA==', 'AA=='])
  const bare = createDClient({ blake3, serverUrl: 'ws://h', room: 'r', open: server.open })
  t.equal(bare.store.mstRoot(), EMPTY_ROOT)
})

t.test('EM-23 reaction A to welcome: missing is an exclusion list, a minimal welcome brings everything, a differing root all but the heads', async (t) => {
  const listed = await connected(3)
  await listed.server.say({ type: 'welcome', missing: [listed.ids[0]], root: OTHER, frontier: [], peers: [] })
  t.same(idsIn(listed.server.heard[1]).sort(), listed.ids.slice(1).sort())
  t.same(listed.server.heard[2], { type: 'request', known: listed.ids }, 'C2 follows')

  const all = await connected(2)
  await all.server.say({ type: 'welcome', missing: all.ids })
  t.same(all.server.heard.slice(1), [{ type: 'pack', nodes: 'AA==' }], 'sent even when empty; no root, no request')

  const minimal = await connected(400)
  await minimal.server.say({ type: 'welcome', session_id: 1 })
  const packs = minimal.server.heard.filter(({ type }) => type === 'pack')
  t.ok(packs.length > 1)
  for (const pack of packs) t.ok(String(pack.nodes).length <= 49_152)
  t.same(packs.flatMap(idsIn), minimal.ids, 'parents first')
  t.same(minimal.server.heard.at(-1), { type: 'request', known: minimal.ids })
  const many = await connected(734)
  await many.server.say({ type: 'welcome' })
  t.same(many.server.heard.at(-1), { type: 'request', known: [] })

  const differs = await connected(3)
  await differs.server.say({ type: 'welcome', missing: [], root: OTHER, frontier: [differs.ids[2], OTHER] })
  t.same(idsIn(differs.server.heard[1]).sort(), differs.ids.slice(0, 2).sort())
  t.equal(differs.server.heard[2].type, 'request')

  const same = await connected(3)
  await same.server.say({ type: 'welcome', missing: [], root: same.d.store.root(), frontier: same.ids.slice(2) })
  t.equal(same.server.heard.length, 1)
  same.d.set('later', 1)
  await settle()
  t.equal(idsIn(same.server.heard[1]).length, 1, 'everything else counts as sent')
})

t.test('EM-24 reaction C and the lossy descent: a differing child with fewer than two own ids is not followed', async (t) => {
  const { d, ids, server } = await connected(40)
  const rival = createPeer({ blake3 })
  for (let i = 0; i < 40; i++) rival.write([{ type: 'map-delete', key: `${i}` }])
  const theirs = createMst(blake3, rival.ids())
  await server.say({ type: 'welcome', missing: [], root: OTHER, frontier: [], caps: { supports_mst: true }, mst_root: theirs.root() })
  t.same(server.heard.slice(1).map(({ type }) => type), ['pack', 'mst-request'])
  let asked = server.heard.at(-1)
  let rounds = 0
  while (asked?.type === 'mst-request') {
    rounds++
    await server.say({ type: 'mst-response', nodes: (asked.paths as string[]).flatMap((path) => theirs.node(path) ?? []) })
    asked = server.heard.slice(2 + rounds).find(({ type }) => type === 'mst-request')
    if (server.heard.length <= 2 + rounds) break
  }
  t.ok(rounds >= 2)
  const done = server.heard.filter(({ type }) => type === 'mst-done').flatMap((message) => message.ids as string[])
  t.ok(done.length < 40, `${done.length} of 40 learned`)
  t.equal(d.store.size, ids.length)
  t.equal(d.store.mstDescend([{ path: '', hash: OTHER, children: {}, keys: [OTHER] }]).onlyTheirs[0], OTHER)
})

t.test('EM-25 import: the first bad node abandons the rest, orphans are dropped without a word, zero signatures pass', async (t) => {
  const author = createPeer({ blake3 })
  const nodes = Array.from({ length: 5 }, (_, i) => author.write([{ type: 'map-delete', key: `${i}` }]))
  const { d, server } = await connected(0)
  const deliver = async (list: Uint8Array[]): Promise<void> => { await server.say({ type: 'pack', from: 'server', nodes: toBase64(author.pack(list)) }) }
  await deliver([nodes[2], nodes[1]])
  t.equal(d.store.size, 0)
  t.equal(d.store.dropped, 2)
  t.same(d.errors, [])
  const bad = Uint8Array.from(nodes[1])
  bad[bad.length - 1] ^= 1
  await deliver([nodes[0], bad, nodes[2]])
  t.equal(d.store.size, 1)
  t.match(d.errors, [/invalid_signature/])
  const unsigned = Uint8Array.from(nodes[1]).fill(0, -64)
  await deliver([nodes[3], nodes[2], unsigned])
  t.equal(d.store.size, 4, 'any order within one pack')
  await server.say({ type: 'pack', nodes: 'AA' })
  await server.say({ type: 'error', msg: 'reject.x: y' })
  await server.say({ type: 'never heard of' })
  t.equal(d.errors.length, 3)
  t.ok(d.isConnected())
})

t.test('EM-26 the D-client comes back after 1 s, doubling to 30 s, and starts over after every open', async (t) => {
  const clock = createFakeClock()
  const { d, server } = await connected(0, { clock })
  await server.hangUp()
  d.set('offline', 1)
  clock.advance(999)
  t.equal(server.opened(), 1)
  clock.advance(1)
  await settle()
  t.equal(server.opened(), 2)
  await server.hangUp()
  clock.advance(1000)
  t.equal(server.opened(), 3, 'an open resets the delay')
  d.disconnect()
  clock.advance(60_000)
  t.equal(server.opened(), 3)
})

t.test('EM-27 blobs: direct uploads with their fallbacks, pending requests, redirects', async (t) => {
  const clock = createFakeClock()
  const puts: string[] = []
  const fetch = async (url: unknown, init?: { method?: string }): Promise<Response> => {
    puts.push(`${init?.method ?? 'GET'} ${String(url)}`)
    return await Promise.resolve(new Response('wrong bytes', { status: String(url).includes('fail') ? 500 : 200 }))
  }
  const { d, server } = await connected(0, { clock, fetch: fetch as typeof globalThis.fetch })
  await server.say({ type: 'welcome', missing: [], root: d.store.root(), frontier: [], caps: { supports_direct_blob_io: true } })
  const types = (): string[] => server.heard.splice(0).map(({ type }) => type)
  types()
  const good = d.setBlob('a', Buffer.from('a'))
  await settle()
  t.same(types(), ['request-upload', 'pack'])
  await server.say({ type: 'upload-granted', hash: good, url: 'http://s/ok' })
  await d.until(() => d.blobs.transfers === 0)
  await settle()
  t.same(types(), ['blob-uploaded'])
  const failing = d.setBlob('b', Buffer.from('b'))
  await server.say({ type: 'upload-granted', hash: failing, url: 'http://s/fail' })
  await d.until(() => d.blobs.transfers === 0)
  const denied = d.setBlob('c', Buffer.from('c'))
  await server.say({ type: 'upload-denied', hash: denied, reason: 'use-ws' })
  d.setBlob('d', Buffer.from('d'))
  clock.advance(30_000)
  await settle()
  t.same(types().filter((type) => type === 'blob-upload').length, 3)

  const hash = 'ab'.repeat(32)
  const author = createPeer({ blake3 })
  author.write([{ type: 'map-set-blob', key: 'k', hash: fromHex(hash, 32) ?? new Uint8Array() }])
  await server.say({ type: 'pack', nodes: toBase64(author.pack([...author.nodes()])) })
  t.same([...d.blobs.pending], [hash])
  await server.say({ type: 'blob-redirect', redirects: [{ hash, url: 'http://s/get' }] })
  await d.until(() => d.blobs.transfers === 0)
  await settle()
  t.same(types(), ['blob-request', 'blob-request'], 'wrong bytes: asked again at once')
  await server.say({ type: 'blob-pack', blobs: [{ hash, data: 'AAAA' }], requested: [hash] })
  t.equal(d.blobs.pending.size, 0)
  await server.say({ type: 'blob-available', hashes: [hash, OTHER] })
  await settle()
  t.same(types(), ['blob-request'])
  t.same(puts, ['PUT http://s/ok', 'PUT http://s/fail', 'GET http://s/get'])
})

t.test('EM-28 the R-client: outbox, request before welcome, 60 KiB, resending on refusal, no second try', async (t) => {
  const clock = createFakeClock()
  const server = scripted()
  const r = createRClient({ blake3, wsUrl: 'ws://h/ws/runtime', roomId: 'r', open: server.open, clock, token: 'any', patience: 3 })
  const first = r.set('a', '1')
  t.equal(r.push(), true)
  t.equal(r.push(), false)
  t.equal(r.outboxDepth, 1)
  r.connect()
  await settle()
  t.same(server.heard.map(({ type }) => type), ['hello', 'pack', 'request'])
  t.same(Object.keys(server.heard[0]).sort(), ['caps', 'frontier', 'pubkey', 'room', 'token', 'type'])
  t.same(server.heard[2].known, [first])
  await server.say({ type: 'welcome', missing: [] })
  t.equal(server.heard.length, 3, 'a minimal welcome uploads nothing')
  await server.say({ type: 'welcome', missing: [], root: OTHER, frontier: [] })
  t.same(idsIn(server.heard[3]), [first])
  await server.say({ type: 'pack-ack', incoming_count: 1, accepted_count: 1, rejected_count: 0 })
  t.equal(r.resends, 0)
  for (let i = 0; i < 5; i++) await server.say({ type: 'pack-ack', incoming_count: 2, accepted_count: 1, rejected_count: 0 })
  t.equal(r.resends, 3)
  t.same(idsIn(server.heard[6]), [first])
  await server.say({ type: 'error', msg: 'message too large' })
  t.equal(r.push(), true, 'the last push is unmarked')
  r.set('big', 'x'.repeat(50_000))
  t.equal(r.push(), false)
  t.match(r.errors, ['message too large', 'pack too large'])

  await server.hangUp()
  clock.advance(500)
  t.equal(server.opened(), 2)
  r.disconnect()
  const closed = createRClient({ blake3, wsUrl: 'ws://h', roomId: 'r', clock, open: neverOpening })
  closed.connect()
  await settle()
  await settle()
  t.equal(clock.pending, 0, 'a try that fails before it opens is the last')
})
