import t from 'tap'
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Doc } from '../../lib/client/index.js'
import { createSigner } from '../../lib/crypto/ed25519.js'
import { toHex } from '../../lib/protocol/hex.js'
import { type Transaction, encodeNode, encodeTransaction, nodeId } from '../../lib/protocol/node.js'
import { encodePack } from '../../lib/protocol/pack.js'
import { parseServerMessage } from '../../lib/protocol/server-message.js'
import { createFakeClock } from '../../lib/testing/clock.js'
import { craftedNodes } from '../hostile/crafted.js'
import { mutations } from '../hostile/mutations.js'
import { type Host, blake3, host, packOf, seeded, set } from '../plugin/host.js'
import { held, shown, turn } from './doc-fuzz.js'
import { type Passage, type Proxy, proxy } from './doc-proxy.js'
import { open, until, untilStatus } from './doc-rig.js'

const HEX = 'ab'.repeat(32)
const WELCOME = {
  type: 'welcome',
  room: 'plans',
  session_id: 3,
  root: HEX,
  frontier: [HEX],
  missing: [],
  caps: { supports_ibf: true, max_tick_interval_ms: 5 },
  server_pubkey: HEX,
  peers: [HEX],
  mst_root: HEX,
  rate: { nodes: 10, bytes: 10 },
  ext: ['ack', 'rate', 'literal-missing']
}
/** One of every message a server may send (spec/session-protocol.md §1 to §5). */
const MESSAGES: readonly object[] = [
  { type: 'pack', from: 'server', nodes: 'AA==', root: HEX, seq: 1, withheld: [{ id: HEX, parents: [HEX], lamport: 1, author: HEX }] },
  { type: 'pack-ack', room: 'plans', id: 999, incoming_count: 1, accepted_count: 0, rejected_count: 1, duplicate_count: 0, rejected: [{ id: HEX, code: 'reject.policy_violation', msg: 'no', retry: false }] },
  { type: 'error', msg: 'no', code: 'reject.internal', reason_class: 'x', command: 'x', required_capability: 'x', hash: HEX, status: 400, retry: true, detail: { a: 1 } },
  { type: 'subscribe-ack', patterns: ['**'] },
  { type: 'mst-response', nodes: [{ path: '', hash: HEX, children: { 0: HEX }, keys: [HEX] }] },
  { type: 'peer-joined', from: HEX, pubkey: HEX, peer_id: 'x', peer_type: 'ui' },
  { type: 'peer-left', from: HEX, pubkey: HEX, peer_id: 'x', peer_type: 'ui' },
  { type: 'blob-available', hashes: [HEX] },
  { type: 'blob-pack', blobs: [{ hash: HEX, data: 'AAEC' }], requested: [HEX] },
  { type: 'blob-redirect', redirects: [{ hash: HEX, url: 'http://127.0.0.1:9/x', expires_at_unix: 1 }] },
  { type: 'upload-granted', hash: HEX, url: 'http://127.0.0.1:9/x', expires_at_unix: 1 },
  { type: 'upload-denied', hash: HEX, reason: 'no' },
  { type: 'upload-rejected', hash: HEX, reason: 'no' },
  { type: 'presence', from: HEX, data: { a: 1 }, room: 'plans', session_id: 9, joined: true },
  { type: 'presence-snapshot', entries: [{ session_id: 9, from_peer_pubkey: HEX, data: { a: 1 }, expires_at_unix_ms: 5 }] },
  { type: 'presence-leave', session_id: 9, from: HEX, reason: 'stale' },
  { type: 'server-info', pubkey: HEX, version: 'x', caps: { supports_mst: true } },
  { type: 'tick-started', interval_ms: 5 },
  { type: 'webrtc-offer', from: HEX, to: HEX, sdp: {} },
  { type: 'room-locked', pubkey: HEX },
  { type: 'policy-set' },
  { type: 'snapshot-pack', pack_b64: 'AA==', snapshot_hash: HEX },
  { type: 'compact-ack', snapshot_hash: HEX },
  WELCOME
]

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Memory in use when everything that can go has gone, in bytes: buffers go a turn after who held them. */
async function inUse (): Promise<number> {
  for (let i = 0; i < 5; i++) {
    await turn()
    collect()
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

interface Scene { server: Host, way: Proxy, doc: Doc, errors: unknown[] }

async function scene (t: Parameters<typeof host>[0], options: Partial<Parameters<typeof open>[1]> = {}): Promise<Scene> {
  const server = await host(t)
  const way = await proxy(t, server.url)
  const doc = await open(t, { url: way.url, room: 'plans', reconnect: { minMs: 1, maxMs: 1, jitter: 0 }, ...options })
  const errors: unknown[] = []
  doc.on('error', (error) => errors.push(error))
  doc.text('t/one').insert(0, 'mine')
  doc.list('l/one').push(1)
  return { server, way, doc, errors }
}

/** The document can be written, and is what the honest server and an honest peer have. */
async function sound (t: Parameters<typeof host>[0], { server, way, doc }: Scene): Promise<void> {
  way.connected = () => true
  way.down = way.up = (text) => text
  doc.disconnect()
  doc.connect()
  doc.map('m/one').set('after', 1)
  doc.text('t/one').insert(0, '>')
  await doc.flush({ timeout: 10_000 })
  await doc.whenSynced({ timeout: 10_000 })
  const expected = held(await server.app.nodalmerge.room('plans').state())
  t.same(shown(doc), expected)
  const peer = await open(t, { url: server.url, room: 'plans' })
  await peer.whenSynced({ timeout: 10_000 })
  t.same(shown(peer), expected)
  t.equal(peer.text('t/one').toString().replaceAll('>', ''), 'mine')
}

t.test('DO-50 frames of every type with anything in every field, and binary ones, leave the document correct and writable', async (t) => {
  for (const message of MESSAGES) t.not(parseServerMessage(JSON.stringify(message)).type, 'unknown')
  const all = await scene(t, { blobs: 'eager' })
  const { way, doc, errors } = all
  const frames = MESSAGES.flatMap((message) => [...mutations(message)])
  await doc.whenSynced()
  const before = await inUse()
  let at = 0
  way.down = (text, { say }) => {
    if (!text.startsWith('{"type":"welcome"')) return text
    say(text)
    say(Buffer.from('a binary frame'))
    for (const { text: evil } of frames.slice(at, at += 25)) say(evil)
    say('{')
    setImmediate(() => { way.passages.at(-1)?.client.close(1012) })
    return null
  }
  way.passages[0].client.close(1012)
  await until(doc, () => at >= frames.length, 'all of them')
  t.comment(`${frames.length} frames, ${way.passages.length} connections, ${errors.length} faults told`)
  t.ok(errors.length > 1000)
  t.ok(errors.every((error) => typeof (error as { code?: unknown }).code === 'string'), 'every fault has a code')
  errors.length = 0
  const grown = await inUse() - before
  t.ok(grown < 20e6, `${Math.round(grown / 1024)} KiB more`)
  await sound(t, all)
})

t.test('DO-51 a welcome with anything in it brings a session, or none, and the status says which', async (t) => {
  const all = await scene(t)
  const { way, doc } = all
  const seed = Number(process.env.SEED ?? Date.now() % 100_000)
  t.comment(`SEED=${seed}`)
  const random = seeded(seed)
  const welcomes = [...mutations(WELCOME)].filter(() => random(6) === 0)
  let at = 0
  way.connected = ({ say, client }: Passage) => {
    client.once('message', () => {
      say(welcomes[at++ % welcomes.length].text)
      setTimeout(() => { client.close(1012) }, 2)
    })
    return false
  }
  doc.disconnect()
  doc.connect()
  const seen = new Set<string>()
  doc.on('status', ({ connection }) => seen.add(connection))
  await until(doc, () => at >= welcomes.length, 'all of them')
  t.same([...seen].sort(), ['connecting', 'greeting', 'open', 'waiting'])
  await sound(t, all)
})

t.test('DO-52 wrong nodes are left out one by one, each with its reason', async (t) => {
  const all = await scene(t)
  const { way, doc, errors } = all
  await doc.flush()
  await doc.whenSynced()
  const [{ say }] = way.passages
  const { publicKey, sign } = createSigner(new Uint8Array(32).fill(5))
  const build = (change: Partial<Transaction>): { id: Uint8Array, transaction: Uint8Array } => {
    const transaction = encodeTransaction({ author: publicKey, lamport: 1, wallMs: 0, ops: set('m/one/evil'), parents: [], ...change })
    return { id: nodeId(transaction, blake3), transaction }
  }
  const signed = (change: Partial<Transaction>): Uint8Array => {
    const { id, transaction } = build(change)
    return encodeNode(id, transaction, sign(id))
  }
  const good = build({ lamport: 2 })
  const evil = [
    encodeNode(new Uint8Array(32).fill(3), good.transaction, sign(good.id)),
    encodeNode(good.id, good.transaction, new Uint8Array(64)),
    signed({ lamport: 2 ** 40 }),
    ...craftedNodes(new Uint8Array(32).fill(6), blake3).filter(({ name }) => name !== 'honest').map(({ node }) => node)
  ]
  say(packOf(encodePack(evil)))
  say(packOf(encodePack([signed({ ops: set('m/two/honest', '1') }), ...evil])))
  await until(doc, () => doc.map('m/two').get('honest') === 1, 'the good one')
  await until(doc, () => errors.length >= 2 * evil.length, 'the reasons')
  t.equal(errors.length, 2 * evil.length)
  const codes = new Set(errors.map((error) => (error as { code: string }).code))
  t.same([...codes].sort(), ['reject.hash_mismatch', 'reject.invalid_signature', 'reject.lamport_ceiling'])
  t.equal(doc.map('m/one').get('evil'), undefined)
  t.equal(doc.text('t/one').toString(), 'mine')
  t.match(doc.status.get(), { connection: 'open', storage: 'memory' })
})

t.test('DO-53 a flood of orphans and of nodes that are none takes bounded memory, and what comes behind it is shown', async (t) => {
  const all = await scene(t)
  const { way, doc, errors } = all
  await doc.flush()
  await doc.whenSynced()
  const [{ say }] = way.passages
  const { publicKey, sign } = createSigner(new Uint8Array(32).fill(5))
  const before = await inUse()
  for (let pack = 0; pack < 30; pack++) {
    const nodes = Array.from({ length: 100 }, (_, i) => {
      const transaction = encodeTransaction({ author: publicKey, lamport: 2, wallMs: 0, ops: set(`m/one/${pack} ${i}`, 'x'.repeat(10_000)), parents: [new Uint8Array(32).fill(7)] })
      const id = nodeId(transaction, blake3)
      return encodeNode(id, transaction, sign(id))
    })
    say(packOf(encodePack(nodes)))
    say({ type: 'pack', from: 'server', nodes: Buffer.alloc(50_000, 255).toString('base64') })
    await turn()
  }
  const peer = await open(t, { url: all.server.url, room: 'plans' })
  peer.map('m/two').set('behind', 1)
  await until(doc, () => doc.map('m/two').get('behind') === 1, 'what comes behind')
  t.equal(doc.map('m/one').size, 0)
  t.equal(errors.length, 30, 'packs that cannot be read are told')
  const grown = await inUse() - before
  t.ok(grown < 20e6, `${Math.round(grown / 1024)} KiB more for 30,000 KiB`)
  await sound(t, all)
})

t.test('DO-54 a lying root or frontier leaves the document out of sync, but not mute', async (t) => {
  const all = await scene(t)
  const { way, doc } = all
  await doc.flush()
  const lies: Array<(welcome: Record<string, unknown>) => object> = [
    (welcome) => ({ ...welcome, frontier: [HEX, ...welcome.frontier as string[]] }),
    (welcome) => ({ ...welcome, frontier: [HEX], root: HEX, missing: [HEX] }),
    (welcome) => ({ ...welcome, frontier: Array.from({ length: 5000 }, (_, i) => i.toString(16).padStart(64, '0')), root: HEX })
  ]
  for (const [i, lie] of lies.entries()) {
    way.down = (text) => text.startsWith('{"type":"welcome"') ? JSON.stringify(lie(JSON.parse(text) as Record<string, unknown>)) : text
    doc.disconnect()
    doc.connect()
    doc.map('m/one').set('lied', i)
    await doc.flush({ timeout: 10_000 })
    await t.rejects(doc.whenSynced({ timeout: 10 }), { code: 'client.timeout' })
    t.match(doc.status.get(), { connection: 'open', synced: false, unacknowledged: 0 })
  }
  // An empty room, the client's own root: nothing is left out because of it.
  way.down = (text) => text.startsWith('{"type":"welcome"') ? JSON.stringify({ ...JSON.parse(text) as object, frontier: [], root: HEX }) : text
  doc.disconnect()
  doc.connect()
  await doc.whenSynced({ timeout: 10_000 })
  await sound(t, all)
})

t.test('DO-55 a server that closes again and again, with whatever code, is not hurried after, and the status says why', async (t) => {
  const clock = createFakeClock()
  const server = await host(t)
  const way = await proxy(t, server.url)
  const doc = await open(t, { url: way.url, room: 'plans', clock, connect: false, random: () => 0.5 })
  doc.map('m/one').set('mine', 1)
  await doc.saved()
  const CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 1014, 3000, 4000, 4001, 4002, 4008, 4999, null]
  for (const when of ['open', 'hello', 'welcome'] as const) {
    for (const code of CODES) {
      const end = ({ client }: Passage): void => {
        if (code === null) client.terminate()
        else client.close(code, 'because')
      }
      way.connected = (passage) => {
        if (when === 'open') {
          end(passage)
        } else {
          passage.client.once('message', () => {
            if (when === 'welcome') passage.say({ ...WELCOME, frontier: [], root: HEX })
            end(passage)
          })
        }
        return false
      }
      const before = way.passages.length
      doc.disconnect()
      doc.connect()
      await turn()
      for (let i = 0; i < 6; i++) {
        await untilStatus(doc, ({ connection }) => connection === 'waiting' || connection === 'denied')
        const { connection, retryInMs = 0, reason } = doc.status.get()
        t.ok(reason, `${when} ${code} has a reason`)
        if (connection === 'denied') break
        clock.advance(retryInMs)
        await untilStatus(doc, (status) => status.connection !== 'waiting')
      }
      t.equal(doc.status.get().connection === 'denied', code === 1008, `${when} ${code}`)
      const attempts = way.passages.length - before
      t.ok(attempts <= 9, `${attempts} attempts`)
    }
  }
  way.connected = () => true
  doc.disconnect()
  doc.connect()
  // What was not known to be slow or large is, by now: the last packs come late.
  for (let i = 0; i < 50 && doc.status.get().unacknowledged > 0; i++) {
    await new Promise((resolve) => { setTimeout(resolve, 10) })
    clock.advance(1000)
  }
  t.match(doc.status.get(), { unacknowledged: 0, connection: 'open' })
  const state = await server.app.nodalmerge.room('plans').state()
  t.same(held(state), shown(doc))
})

t.test('DO-56 redirects without end, to addresses that hold something else, end', async (t) => {
  const clock = createFakeClock()
  const server = await host(t)
  const way = await proxy(t, server.url)
  let fetched = 0
  const bucket = createServer((_request, response) => {
    fetched++
    response.end('something else')
  }).listen(0, '127.0.0.1')
  await once(bucket, 'listening')
  t.teardown(() => { bucket.close() })
  const url = `http://127.0.0.1:${(bucket.address() as AddressInfo).port}/x`
  way.up = (text, { say }) => {
    if (!text.startsWith('{"type":"blob-request"')) return text
    const { hashes } = JSON.parse(text) as { hashes: string[] }
    say({ type: 'blob-redirect', redirects: hashes.map((hash) => ({ hash, url })) })
    return null
  }
  const doc = await open(t, { url: way.url, room: 'plans', clock })
  await doc.whenSynced()
  const time = setInterval(() => { clock.advance(10_000) }, 5)
  t.teardown(() => { clearInterval(time) })
  t.equal(await doc.blobs.get(HEX), undefined)
  t.equal(doc.blobs.status(HEX), 'missing')
  t.ok(fetched > 0 && fetched < 20, `${fetched} times`)
  doc.map('m/one').set('k', toHex(Uint8Array.of(1)))
  await doc.flush()
})
