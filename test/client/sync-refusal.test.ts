import t from 'tap'
import { type Pace, createPace } from '../../lib/client/pace.js'
import { createTranslation } from '../../lib/client/translation.js'
import { fromBase64, toBase64 } from '../../lib/protocol/base64.js'
import { toHex } from '../../lib/protocol/hex.js'
import { type NodeView, bytesOf, idOf, readOps } from '../../lib/protocol/node.js'
import type { Op } from '../../lib/protocol/op.js'
import { encodePack, scanPack } from '../../lib/protocol/pack.js'
import { createFakeClock } from '../../lib/testing/clock.js'
import { peer } from '../room/harness.js'
import { type Rig, createRig, setOp, turns, until } from './sync-rig.js'
import { type ScriptedHost, ownHost, scriptedHost } from './sync-hosts.js'
import { memoryStorage } from './sync-storage.js'

const ROOT = 'ab'.repeat(32)
const OWN = { type: 'welcome', root: ROOT, frontier: [], missing: [], ext: ['ack', 'literal-missing'] }
const ORIGINAL = { type: 'welcome', root: ROOT, frontier: [], missing: [] }
type Heard = ScriptedHost['heard'][number]

const packs = (host: ScriptedHost): Heard[] => host.heard.filter(({ type }) => type === 'pack')
const nodesOf = (frame: Heard | undefined): NodeView[] => frame === undefined ? [] : scanPack(fromBase64(String(frame.nodes)))
const idsOf = (frame: Heard | undefined): string[] => nodesOf(frame).map((node) => toHex(idOf(node)))
const hexOf = (node: { id: Uint8Array }): string => toHex(node.id)
const ack = (host: ScriptedHost, frame: Heard, rejected: object[] = [], fields: object = {}): void => host.say({
  type: 'pack-ack', id: frame.id, incoming_count: nodesOf(frame).length, accepted_count: nodesOf(frame).length - rejected.length, rejected_count: rejected.length, rejected, ...fields
})
const echo = (host: ScriptedHost, nodes: readonly NodeView[]): void => host.say({ type: 'pack', from: 'server', nodes: toBase64(encodePack(nodes.map(bytesOf))) })

async function welcomed (rig: Rig, welcome: object = OWN): Promise<ScriptedHost> {
  const host = scriptedHost()
  rig.connect(host)
  host.say(welcome)
  await turns(3)
  return host
}

/** The n-th pack that went out. */
async function pack (host: ScriptedHost, n = 0): Promise<Heard> {
  await until(() => packs(host).length > n, `pack ${n}`)
  return packs(host)[n]
}

const stillPace = (parts: Partial<Pace>): Pace => ({ ...createPace(createFakeClock()), limit: { characters: 4096, nodes: 10 }, spend () {}, ...parts })

const insert = (key: string, text: string, after: { lamport: number, author: Uint8Array } | null = null): Op =>
  ({ type: 'text-insert-range', key, anchor: after === null ? { at: 'start' } : { at: 'after', id: after }, text })

t.test('SY-50 what descends from a refused node is written anew: characters keep their places under new ids, what hung on refused ones goes', async (t) => {
  const a = await createRig(t)
  const host = await welcomed(a)
  a.sync.write([insert('doc', 'abc')])
  const refused = a.sync.write([insert('doc', 'XYZ', { lamport: 3, author: a.sync.author })])
  const kept = a.sync.write([insert('doc', 'def', { lamport: 3, author: a.sync.author })])
  const end = { lamport: kept.lamport + 2, author: a.sync.author }
  a.sync.write([{ type: 'text-insert', key: 'doc', after: end, char: '!' }, insert('notes', 'n')])
  const hung = { lamport: refused.lamport + 1, author: a.sync.author }
  a.sync.write([{ type: 'text-delete', key: 'doc', target: { lamport: kept.lamport + 1, author: a.sync.author } }, insert('doc', '?', hung)])
  a.sync.write([{ type: 'text-delete', key: 'doc', target: hung }])
  const last = a.sync.write([{ type: 'text-delete-range', key: 'doc', anchor: { at: 'end' }, count: 1 }, { type: 'text-insert', key: 'doc', after: null, char: '>' }, setOp('k')])
  t.equal(a.sync.views.document.text('doc').toString(), '>abcdf!X?Z')
  const before = await pack(host)
  ack(host, before, [{ id: hexOf(refused), code: 'reject.authority_required', msg: 'no', retry: false }], { rejected_count: 1 })
  t.equal(a.sync.views.document.text('doc').toString(), '>abcdf!')
  t.equal(a.sync.views.document.text('notes').toString(), 'n')
  const [rejection] = a.rejections
  t.match(rejection, { id: hexOf(refused), code: 'reject.authority_required', message: 'no', reauthored: 4 })
  t.same(rejection.dropped?.map(({ type }) => type), ['text-insert-range', 'text-delete'])
  t.same(rejection.renamed?.map(({ key, lamport, length }) => [key, lamport, length]), [['doc', kept.lamport, 3], ['doc', kept.lamport + 3, 1], ['doc', last.lamport, 1], ['notes', kept.lamport + 3, 1]])
  t.ok(rejection.renamed?.every(({ lamport, to }) => to.lamport > lamport))
  const anew = await pack(host, 1)
  t.equal(nodesOf(anew).length, 4)
  ack(host, anew)
  await until(() => a.sync.counts.unacknowledged === 0, 'accepted')
  t.equal(a.sync.views.canonical.text('doc').toString(), '>abcdf!')
  t.equal(a.sync.views.document.text('doc').toString(), '>abcdf!')
})

t.test('SY-51 runs of characters are found by author, key and lamport value', (t) => {
  const author = new Uint8Array(32).fill(1)
  const other = new Uint8Array(32).fill(2)
  const translation = createTranslation()
  for (let i = 0; i < 10; i++) {
    const ops: Op[] = [{ type: 'text-insert', key: 'doc', after: null, char: 'a' }, insert('doc', 'abc'), insert('other', 'a')]
    translation.note(ops, { lamport: 10 * i + 10, author }, i % 2 === 0 ? { lamport: 1000 + i, author: other } : null)
  }
  t.same(translation.find('doc', { lamport: 12, author }), { lamport: 1002, author: other })
  t.same(translation.find('doc', { lamport: 13, author }), { lamport: 13, author })
  t.same(translation.find('other', { lamport: 11, author }), { lamport: 11, author })
  t.equal(translation.find('doc', { lamport: 20, author }), null)
  t.same(translation.find('doc', { lamport: 12, author: other }), { lamport: 12, author: other })
  t.same(translation.find('doc', { lamport: 500, author }), { lamport: 500, author })
  const range = translation.apply([{ type: 'text-delete-range', key: 'doc', anchor: { at: 'after', id: { lamport: 30, author } }, count: 1 }]).kept
  t.match(range, [{ anchor: { id: { lamport: 1002 } } }])
  t.end()
})

t.test('SY-52 nodes of another tab are sent, but only their own writer writes them anew', async (t) => {
  const storage = memoryStorage()
  const tab = peer(7)
  const theirs = [tab.write([setOp('theirs', '1')]), tab.write([setOp('more', '2')])]
  for (const node of theirs) storage.waiting.set(toHex(node.subarray(0, 32)), node)
  const a = await createRig(t, { storage })
  t.equal(a.get('theirs'), '1')
  a.set('mine')
  const host = await welcomed(a)
  const sent = await pack(host)
  await until(() => packs(host).flatMap(idsOf).length === 3, 'all of it')
  ack(host, sent, [{ id: idsOf(sent)[0], code: 'reject.policy_violation' }], { rejected_count: 1 })
  t.equal(a.get('theirs'), undefined)
  t.equal(a.get('more'), undefined)
  t.equal(a.get('mine'), 'v')
  t.match(a.rejections, [{ id: idsOf(sent)[0], reauthored: 1 }], 'it is told here too: it vanishes here too')
  await a.sync.idle()
  t.equal([...storage.waiting.keys()].filter((id) => theirs.some((node) => id === toHex(node.subarray(0, 32)))).length, 2)
})

t.test('SY-53 what may pass later is sent again later, ever more slowly; a server that lacks what it said it had is asked anew', async (t) => {
  const a = await createRig(t)
  const host = await welcomed(a)
  a.set('k')
  const missing = (frame: Heard): void => ack(host, frame, [{ id: idsOf(frame)[0], code: 'reject.missing_parent' }])
  for (let round = 0; round < 3; round++) {
    missing(await pack(host, round))
    a.clock.advance(1000 * 2 ** round - 1)
    t.equal(packs(host).length, round + 1)
    a.clock.advance(1)
    t.equal(packs(host).length, round + 2)
  }
  t.equal(a.resyncs, 0)
  missing(await pack(host, 3))
  t.equal(a.resyncs, 1)
  t.equal(a.rejections.length, 0)
  a.clock.advance(30_000)
  ack(host, await pack(host, 4))
  t.equal(a.sync.counts.unacknowledged, 0)
  a.set('again')
  missing(await pack(host, 5))
  a.clock.advance(1000)
  ack(host, await pack(host, 6), [{ id: idsOf(packs(host)[6])[0], code: 'reject.something_new', retry: true }])
  a.clock.advance(30_000)
  ack(host, await pack(host, 7), [{ id: idsOf(packs(host)[7])[0], code: 'reject.something_new' }])
  t.match(a.rejections, [{ code: 'reject.something_new', message: 'reject.something_new' }])
})

t.test('SY-54 of a list of refusals that was cut off, only what is on it is decided', async (t) => {
  const a = await createRig(t)
  const host = await welcomed(a)
  a.set('k1')
  a.set('k2')
  a.set('k3')
  const sent = await pack(host)
  ack(host, sent, [{ id: idsOf(sent)[2], code: 'reject.authority_required' }], { rejected_count: 2 })
  t.equal(a.rejections.length, 1)
  t.equal(a.sync.counts.unacknowledged, 2)
  a.clock.advance(1000)
  t.same(idsOf(packs(host)[1]), idsOf(sent).slice(0, 2))
  host.say({ type: 'pack-ack', id: 99, incoming_count: 1, accepted_count: 1, rejected_count: 0 })
  t.equal(a.sync.counts.unacknowledged, 2, 'an answer to nothing says nothing')
})

t.test('SY-55 a pack without an answer is sent again after a minute', async (t) => {
  const a = await createRig(t)
  const host = await welcomed(a)
  a.set('k1')
  const first = await pack(host)
  a.clock.advance(59_000)
  a.set('k2')
  await pack(host, 1)
  ack(host, first)
  a.clock.advance(1000)
  t.equal(packs(host).length, 2, 'the oldest was answered')
  a.clock.advance(60_000)
  t.same(idsOf(packs(host)[2]), idsOf(packs(host)[1]))
  ack(host, packs(host)[2])
  a.clock.advance(120_000)
  t.equal(packs(host).length, 3)
  t.equal(a.clock.pending, 0)
})

t.test('SY-56 confirmed nodes that a server has lost and will not have back are told; nothing is taken out', async (t) => {
  const a = await createRig(t)
  let host = await welcomed(a)
  a.set('k1')
  a.set('k2')
  ack(host, await pack(host))
  a.cut()
  host = await welcomed(a, { ...OWN, missing: a.sync.greeting().frontier })
  await until(() => packs(host).length > 0 || a.clock.pending > 0, 'the gate')
  const [sent] = packs(host)
  t.equal(nodesOf(sent).length, 2)
  t.notOk(a.sync.synced)
  ack(host, sent, [{ id: idsOf(sent)[0], code: 'reject.policy_violation' }, { id: idsOf(sent)[1], code: 'reject.missing_parent' }])
  t.match(a.problems, [{ code: 'reject.policy_violation', id: idsOf(sent)[0] }])
  t.equal(a.get('k1'), 'v')
  t.equal(a.rejections.length, 0)
  t.ok(a.sync.synced)
  a.cut()
  host = await welcomed(a, { ...OWN, missing: a.sync.greeting().frontier })
  await until(() => packs(host).length > 0, 'once more')
  ack(host, packs(host)[0], [{ id: idsOf(sent)[0], code: 'reject.something_new', msg: 'new' }])
  t.match(a.problems.at(-1), { code: 'reject.internal', message: 'new' })
})

t.test('SY-57 packs keep to the pace in nodes and bytes, and wait as long as it says', async (t) => {
  let wait = 300
  const spent: number[] = []
  const pace = stillPace({ delay: () => wait, spend (nodes) { spent.push(nodes) } })
  const a = await createRig(t, { pace })
  const host = await welcomed(a)
  for (let i = 0; i < 25; i++) a.set(`k${i}`)
  await a.sync.idle()
  a.clock.advance(299)
  t.equal(packs(host).length, 0)
  wait = 0
  a.clock.advance(1)
  t.same(packs(host).map((frame) => nodesOf(frame).length), [10, 10, 5])
  t.same(spent, [10, 10, 5])
  a.cut()
  t.equal(a.sync.counts.unsent, 25)
})

t.test('SY-58 an embedded host acknowledges without ids and welcomes without a frontier', async (t) => {
  const a = await createRig(t)
  a.set('k1')
  a.set('k2')
  await a.sync.idle()
  const host = await welcomed(a, { type: 'welcome', caps: {} })
  const first = await pack(host)
  host.say({ type: 'pack-ack', incoming_count: 2, accepted_count: 2, rejected_count: 0 })
  t.equal(a.sync.counts.unacknowledged, 0)
  a.set('k3')
  await pack(host, 1)
  host.say({ type: 'pack-ack', incoming_count: 1, accepted_count: 1, rejected_count: 0 })
  t.ok(a.sync.synced)
  t.equal(host.heard.filter(({ type }) => type === 'mst-done').length, 1, 'who acknowledges is not asked')
  t.equal(nodesOf(first).length, 2)

  a.cut()
  const again = await welcomed(a, { type: 'welcome', caps: {} })
  t.equal(packs(again).length, 0)
  echo(again, nodesOf(first))
  await a.sync.idle()
  a.clock.advance(2000)
  await until(() => packs(again).length === 1, 'what the history did not hold')
  t.equal(nodesOf(packs(again)[0]).length, 1)
})

t.test('SY-59 an error that names nothing: nodes are sent one by one until the bad one is found', async (t) => {
  const a = await createRig(t)
  const host = await welcomed(a, ORIGINAL)
  for (let i = 0; i < 4; i++) a.set(`k${i}`)
  const whole = nodesOf(await pack(host))
  const bad = toHex(idOf(whole[2]))
  host.say({ type: 'error', msg: 'something is wrong with one of them' })
  echo(host, [])
  await turns()
  t.equal(nodesOf(packs(host)[1] ?? packs(host)[0]).length, 4, 'after an instant')
  a.clock.advance(0)
  for (let round = 1; round < 10 && a.sync.counts.unacknowledged > 0; round++) {
    const nodes = nodesOf(await pack(host, round))
    if (nodes.some((node) => toHex(idOf(node)) === bad)) {
      host.say({ type: 'error', msg: 'something is wrong', required_capability: 'write:k' })
      echo(host, [])
    } else {
      echo(host, nodes)
    }
    await turns()
    a.clock.advance(0)
  }
  t.equal(a.sync.counts.unacknowledged, 0)
  t.match(a.rejections, [{ id: bad, code: 'reject.protocol_invalid_message', message: 'something is wrong', requiredCapability: 'write:k', reauthored: 1 }])
  t.same(packs(host).slice(1).map((frame) => nodesOf(frame).length).slice(0, 3), [1, 1, 1])
})

t.test('SY-60 what an original server does not prove is sent again, ever more slowly; texts that name a node refuse it', async (t) => {
  const a = await createRig(t)
  const host = await welcomed(a, ORIGINAL)
  host.say({ type: 'error', msg: 'about nothing that was sent' })
  a.set('k1')
  a.set('k2')
  const [first] = nodesOf(await pack(host))
  host.say({ type: 'error', msg: 'missing_parent: 2 node(s) unresolved' })
  a.clock.advance(5000)
  for (let round = 0; round < 4; round++) {
    a.clock.advance(1000 * 2 ** round)
    t.equal(packs(host).length, round + 2)
    a.clock.advance(5000)
  }
  t.equal(a.resyncs, 2)
  t.equal(a.rejections.length, 0)
  a.clock.advance(16_000)
  host.say({ type: 'error', msg: `wall clock skew on node ${toHex(idOf(first))}: wall_ms=2; lamport ceiling exceeded on node ${toHex(idOf(first))}: lamport=1` })
  t.match(a.rejections, [{ id: toHex(idOf(first)), code: 'reject.lamport_ceiling', reauthored: 1 }])
  const anew = nodesOf(await pack(host, packs(host).length))
  t.same(anew.map((node) => readOps(node)), [[setOp('k2')]])
  echo(host, anew)
  await until(() => a.sync.counts.unacknowledged === 0, 'proven')
  t.equal(a.clock.pending, 0)
})

t.test('SY-61 a node of another that stands on ours proves that the server has ours', async (t) => {
  const a = await createRig(t)
  const host = await welcomed(a, ORIGINAL)
  a.set('k1')
  a.set('k2')
  const nodes = nodesOf(await pack(host))
  const other = peer(3)
  other.receive(encodePack(nodes.map(bytesOf)))
  const theirs = other.write([setOp('theirs')])
  host.say({ type: 'pack', from: other.key, nodes: toBase64(encodePack([theirs])) })
  await until(() => a.get('theirs') === 'v', 'it arrives')
  await until(() => a.sync.synced, 'proven')
  await a.sync.idle()
  t.equal(a.storage.confirmed.size, 3)
})

t.test('SY-62 storage that lost the newest confirmed nodes: pending ones wait for them, and are not heads twice', async (t) => {
  const storage = memoryStorage()
  const other = peer(3)
  const lost = other.write([setOp('lost')])
  const first = await createRig(t, { storage })
  first.sync.pack(encodePack([lost]))
  await first.sync.idle()
  first.set('k1')
  first.set('k2')
  await first.sync.idle()
  storage.confirmed.clear()

  const a = await createRig(t, { storage })
  t.equal(a.sync.counts.unacknowledged, 2)
  const host = await welcomed(a)
  ack(host, await pack(host))
  t.equal(a.sync.counts.unacknowledged, 2, 'acknowledged, but not on top of nothing')
  const child = peer(4)
  child.receive(encodePack([lost, ...nodesOf(packs(host)[0]).map(bytesOf)]))
  const after = child.write([setOp('after')])
  a.sync.pack(encodePack([after]))
  await a.sync.idle()
  t.equal(a.get('after'), undefined)
  a.sync.pack(encodePack([lost]))
  await a.sync.idle()
  t.equal(a.sync.counts.unacknowledged, 0)
  t.equal(a.get('after'), 'v')
  t.equal(a.sync.greeting().frontier.length, 1)
  a.set('k3')
  t.equal(a.sync.counts.unacknowledged, 1)
})

t.test('SY-63 a listener that throws is reported and stops nothing', async (t) => {
  const host = await ownHost(t)
  const a = await createRig(t)
  let heard = 0
  const stop = a.sync.onChange(() => { throw new Error('mine') })
  a.sync.onChange(() => { heard++ })
  const counted: number[] = []
  a.sync.onCounts(() => counted.push(a.sync.counts.unacknowledged))
  a.connect(host)
  a.set('k')
  t.equal(heard, 1)
  t.match(a.problems, [{ code: 'reject.internal', message: 'Error: mine' }])
  stop()
  a.set('k', 'w')
  t.equal(a.problems.length, 1)
  await until(() => a.sync.synced, 'in sync')
  await turns(1)
  t.equal(counted.at(-1), 0)
})

t.test('SY-64 signing that fails is tried again', async (t) => {
  let broken = true
  const { ed25519 } = await import('./sync-rig.js')
  const a = await createRig(t, {
    ed25519: {
      ...ed25519,
      async signer (seed) {
        const signer = await ed25519.signer(seed)
        return { ...signer, sign: (message) => broken ? Promise.reject(new Error('no key')) : signer.sign(message) }
      }
    }
  })
  const told: unknown[] = []
  a.sync.onStorage((error) => told.push(error))
  a.set('k')
  await a.sync.idle()
  t.match(told, [{ message: 'no key' }])
  broken = false
  a.clock.advance(5000)
  await a.sync.idle()
  t.equal(a.storage.waiting.size, 1)
  t.equal(told.at(-1), null)
})

t.test('SY-65 an echo confirms all pending ancestors, whichever tab they are of', async (t) => {
  const storage = memoryStorage()
  const first = peer(5)
  const root = first.write([setOp('root')])
  const left = peer(6)
  const right = peer(7)
  const nodes = [root]
  for (const tab of [left, right]) {
    tab.receive(encodePack([root]))
    nodes.push(tab.write([setOp('side')]))
  }
  for (const node of nodes) storage.waiting.set(toHex(node.subarray(0, 32)), node)
  const broken = left.write([setOp('broken')]).slice()
  broken[60] ^= 1
  storage.waiting.set('broken', broken)
  const a = await createRig(t, { storage })
  t.match(a.problems, [{ code: 'client.storage' }])
  a.set('mine')
  const host = await welcomed(a, ORIGINAL)
  await until(() => packs(host).flatMap(idsOf).length === 4, 'all of it')
  echo(host, packs(host).flatMap(nodesOf).slice(-1))
  await until(() => a.sync.counts.unacknowledged === 0, 'confirmed')
  await a.sync.idle()
  t.equal(storage.confirmed.size, 4)
})

t.test('SY-66 a store that failed after an echo sends again only what is not confirmed; a socket that takes nothing keeps it queued', async (t) => {
  let takes = true
  const sent: string[] = []
  const a = await createRig(t, { send (frame) { if (takes && frame.type === 'pack') sent.push(frame.nodes); return takes } })
  a.sync.welcome({ type: 'welcome', root: ROOT, frontier: [], missing: [], peers: [], ext: [], caps: {} as never }, { ext: new Set(['ack', 'literal-missing']) })
  a.set('k1')
  a.set('k2')
  await until(() => sent.length === 1, 'sent')
  const [first] = scanPack(fromBase64(sent[0]))
  a.sync.pack(encodePack([bytesOf(first)]))
  await a.sync.idle()
  t.equal(a.sync.counts.unacknowledged, 1)
  a.sync.refused({ type: 'error', msg: '', code: 'reject.store_unavailable' })
  a.set('k3')
  await a.sync.idle()
  takes = false
  a.clock.advance(1000)
  t.equal(a.sync.counts.unsent, 2)
  takes = true
  a.set('k4')
  await until(() => sent.length === 2, 'sent again')
  t.equal(scanPack(fromBase64(sent[1])).length, 3)
  a.sync.refused({ type: 'error', msg: '', code: 'reject.presence_lease_invalid' })
  t.equal(sent.length, 2)
})

t.test('SY-67 what became confirmed while it waited its turn is not sent', async (t) => {
  const storage = memoryStorage()
  const tabs = [5, 6, 7].map((seed) => peer(seed).write([setOp(`tab${seed}`)]))
  for (const node of tabs) storage.waiting.set(toHex(node.subarray(0, 32)), node)
  let delay = 1000
  const pace = stillPace({ delay: () => delay })
  const a = await createRig(t, { storage, pace })
  const host = await welcomed(a)
  t.equal(packs(host).length, 0)
  a.sync.pack(encodePack([tabs[1]]))
  await a.sync.idle()
  delay = 0
  a.clock.advance(1000)
  t.same(idsOf(packs(host)[0]), [tabs[0], tabs[2]].map((node) => toHex(node.subarray(0, 32))))
})

t.test('SY-68 answers that come one after the other make one pause; the end of a session ends it', async (t) => {
  const a = await createRig(t)
  const host = await welcomed(a)
  a.set('k1')
  await pack(host)
  a.set('k2')
  await pack(host, 1)
  for (const frame of packs(host).slice()) ack(host, frame, [{ id: idsOf(frame)[0], code: 'reject.missing_parent' }])
  a.clock.advance(1999)
  t.equal(packs(host).length, 2)
  a.clock.advance(1)
  t.equal(nodesOf(packs(host)[2]).length, 2)
  ack(host, packs(host)[2], idsOf(packs(host)[2]).map((id) => ({ id, code: 'reject.missing_parent' })))
  a.cut()
  t.equal(a.clock.pending, 0)
})

t.test('SY-69 what is refused after it was written anew is refused no second time', async (t) => {
  const a = await createRig(t)
  const host = await welcomed(a)
  a.set('k1')
  const first = await pack(host)
  a.set('k2')
  const second = await pack(host, 1)
  ack(host, first, [{ id: idsOf(first)[0], code: 'reject.authority_required' }])
  ack(host, second, [{ id: idsOf(second)[0], code: 'reject.authority_required' }])
  t.equal(a.rejections.length, 1)
  t.equal(a.get('k2'), 'v')
  const third = await pack(host, 2)
  ack(host, third)
  t.equal(a.sync.counts.unacknowledged, 0)
})
