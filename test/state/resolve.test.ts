import t from 'tap'
import { createVerifier } from '../../lib/crypto/verifier.js'
import { nobleBlake3 as blake3 } from '../../lib/protocol/blake3.js'
import { toHex } from '../../lib/protocol/hex.js'
import { type NodeView, encodeNode, encodeTransaction, idOf, readNode, readOps, scanNode } from '../../lib/protocol/node.js'
import { cursor, utf8Encode } from '../../lib/protocol/postcard.js'
import { scanPack } from '../../lib/protocol/pack.js'
import { fromBase64 } from '../../lib/protocol/base64.js'
import { type AppliedNode, createDocument, isEncrypted } from '../../lib/state/document.js'
import { EXCLUDED, canonicalHash } from '../../lib/state/resolve.js'
import { replay } from '../../lib/state/replay.js'
import { createSnapshot, isCompatible, isPureSnapshot, isSnapshot, readSnapshot, verifySnapshot } from '../../lib/state/snapshot.js'
import {
  NEW_ROOM_TIMELINE, OPEN_POLICY, type TimelineEntry, compilePolicy, cutover, decodeTimeline, encodeTimeline, policyAt, timelineHash, transitions
} from '../../lib/state/timeline.js'
import { createViews } from '../../lib/state/views.js'
import { controlPlane, hex, published } from '../protocol/vectors.js'
import { bytes, set, signed, signerOf, written } from './nodes.js'

const entriesOf = (map: Record<string, string>): [string, Uint8Array][] => Object.entries(map).map(([key, value]) => [key, utf8Encode(value)])
const textsOf = (entries: Iterable<[string, Uint8Array]>) => Object.fromEntries([...entries].map(([key, value]) => [key, Buffer.from(value).toString()]))
const keyOf = (seed: number) => toHex(signerOf(seed).publicKey)
const LABELS: Record<string, number> = { A: 10, B: 11 }

interface Fixture {
  name: string
  timeline: { effective_lamport: number, default: string, rules: { path_glob: string, can_write_authors: string[] }[] }[]
  nodes: { author: string, lamport: number, parents: number[], ops: { key: string, value: string }[] }[]
  expect: { error?: string, map?: Record<string, string> }
}

const policyOf = (rules: { path_glob: string, can_write: string[] }[], otherwise: string) => ({
  rules: rules.map((rule) => ({ pathGlob: rule.path_glob, canWrite: rule.can_write.map((label) => keyOf(LABELS[label])), canRead: [], canDerive: [] })),
  default: otherwise === 'AllowAll' ? 'allow' as const : 'deny' as const
})

const timelineOf = (fixture: Fixture): TimelineEntry[] => fixture.timeline.map((entry) => ({
  effectiveLamport: entry.effective_lamport,
  policy: policyOf(entry.rules.map((rule) => ({ path_glob: rule.path_glob, can_write: rule.can_write_authors })), entry.default)
}))

function nodesOf (fixture: Fixture): NodeView[] {
  const nodes: NodeView[] = []
  for (const { author, lamport, parents, ops } of fixture.nodes) {
    nodes.push(signed(LABELS[author], { lamport, parents: parents.map((i) => idOf(nodes[i])), ops: ops.map(({ key, value }) => set(key, value)) }))
  }
  return nodes
}

/** Nodes of one author, each the child of the one before. */
function chain (seed: number, writes: [string, string][]): NodeView[] {
  const nodes: NodeView[] = []
  for (const [key, value] of writes) {
    nodes.push(signed(seed, { lamport: nodes.length + 1, parents: nodes.slice(-1).map(idOf), ops: [set(key, value)] }))
  }
  return nodes
}

t.test('ST-1 canonical hashes are those of the vectors', async (t) => {
  for (const { entries_utf8: map, hash_hex: hash } of published.derived.canonical_hash) t.equal(toHex(canonicalHash(entriesOf(map), blake3)), hash)
  for (const { map_utf8: map, hash } of controlPlane.canonical_hash.vectors) t.equal(toHex(canonicalHash(entriesOf(map), blake3)), hash)
  const map = entriesOf({ '\0e2ee': 'x', '\0snap:hash': 'y', k: 'v' })
  const hashOf = (keys: string[]) => toHex(canonicalHash(map.filter(([key]) => keys.includes(key)), blake3, EXCLUDED.none))
  t.equal(toHex(canonicalHash(map, blake3)), hashOf(['\0snap:hash', 'k']))
  t.equal(toHex(canonicalHash(map, blake3, EXCLUDED.snapshot)), hashOf(['k']))
  t.equal(toHex(canonicalHash(map, blake3, EXCLUDED.none)), hashOf(['\0e2ee', '\0snap:hash', 'k']))

  const lane = controlPlane.spec_auth_canonical_lane.cases[0]
  const pending = createDocument()
  for (const [i, [key, value]] of [...lane.writes, lane.pending_intent].entries()) pending.apply(written(i, 1, i + 1, set(key, value)))
  t.equal(toHex(canonicalHash(pending.map.entries(), blake3, (key) => key.startsWith('intent/'))), lane.lane_hash_derived)

  const winners = createDocument()
  const [first, authors] = published.derived.lww_edges
  winners.applyView(scanNode(cursor(encodeNode(hex(first.id_hex), hex(first.transaction_postcard_hex), hex(first.signature_hex)))))
  t.same(textsOf(winners.map.entries()), first.resolved)
  for (const [author, value] of [[authors.author_b_hex, 'B'], [authors.author_a_hex, 'A']]) winners.apply({ id: bytes(1), author: hex(author), lamport: 9, ops: [set('k', value)] })
  t.same(textsOf(winners.map.entries()), authors.resolved)
})

t.test('ST-2 a document routes by family and key and follows what is asked', async (t) => {
  const ops = [
    set('k', 'v'),
    { type: 'text-insert-range' as const, key: 'a', anchor: { at: 'start' as const }, text: 'x' },
    { type: 'list-insert' as const, key: 'l', item: bytes(1, 16), position: 'V' },
    { type: 'text-insert-range' as const, key: 'b', anchor: { at: 'start' as const }, text: 'y' },
    { type: 'text-delete-range' as const, key: 'a', anchor: { at: 'start' as const }, count: 1 },
    set('other', 'w')
  ]
  const all = createDocument()
  const told: unknown[] = []
  all.text('b').observe((splices) => told.push(...splices))
  all.text('asked only')
  all.apply(written(1, 1, 1, ...ops))
  all.settle()
  t.same([`${all.text('a')}`, `${all.text('b')}`, `${all.text('none')}`], ['', 'y', ''])
  t.same(told, [{ position: 0, deleted: 0, inserted: 'y' }])
  t.equal(all.list('l').length, 1)
  t.same([all.keys('map'), all.keys('list'), all.keys('text')], [['k', 'other'], ['l'], ['a', 'b']])

  const some = createDocument({ follow: (family, key) => family === 'text' ? key === 'b' : key === 'k' })
  some.apply(written(1, 1, 1, ...ops))
  t.same([some.keys('map'), some.keys('list'), some.keys('text'), `${some.text('a')}`], [['k'], [], ['b'], ''])

  for (const key of ['a', 'b']) some.apply(written(2, 1, 9, { type: 'text-insert-range', key, anchor: { at: 'end' }, text: '!' }))
  t.same([`${some.text('a')}`, `${some.text('b')}`], ['', 'y!'])

  const secret = [set('\0e2ee', 'payload')]
  t.same([isEncrypted(secret), isEncrypted([...secret, set('k', 'v')]), isEncrypted(ops.slice(0, 1)), isEncrypted(ops.slice(1, 2)), isEncrypted([])], [true, false, false, false, false])
  const opaque = createDocument()
  opaque.apply(written(1, 1, 1, ...secret))
  t.equal(toHex(canonicalHash(opaque.map.entries(), blake3)), published.derived.canonical_hash[0].hash_hex)
})

t.test('ST-3 timelines encode, hash and read back as in the vectors', async (t) => {
  const encodings: { postcard_hex: string, hash: string, cutover: number | null }[] = Object.values(controlPlane.policy_timeline.timeline_hashes.vectors)
  for (const { postcard_hex: encoded, hash, cutover: last } of encodings) {
    const timeline = decodeTimeline(hex(encoded))
    t.equal(toHex(encodeTimeline(timeline)), encoded)
    t.equal(toHex(timelineHash(timeline, blake3)), hash)
    t.equal(cutover(timeline), last)
  }
  for (const [i, fixture] of published.reference.policy_timeline_fixtures.entries()) {
    const derived = published.derived.policy_timeline[i]
    t.equal(toHex(encodeTimeline(timelineOf(fixture))), derived.timeline_postcard_hex)
    t.equal(toHex(timelineHash(timelineOf(fixture), blake3)), derived.policy_timeline_hash_hex)
    t.equal(cutover(timelineOf(fixture)), derived.cutover_lamport)
  }
  t.equal(toHex(timelineHash(NEW_ROOM_TIMELINE, blake3)), published.derived.policy_timeline_hash_default.hash_hex)
  const steps = controlPlane.policy_timeline.room_progression.steps
  const after = [NEW_ROOM_TIMELINE, [0, 1, 2].map((effectiveLamport) => ({ effectiveLamport, policy: OPEN_POLICY }))]
  t.same(after.map((timeline) => [cutover(timeline), transitions(timeline)]), steps.map((step: Record<string, unknown>) => [step.cutover_lamport, step.transition_cutovers]))
  t.same(transitions([]), [])
  for (const broken of ['01000002', '0101', 'ff', '']) t.throws(() => decodeTimeline(hex(broken)), { code: 'reject.protocol_invalid_message' })
  const rule = { pathGlob: '**', canWrite: ['00'], canRead: [], canDerive: [] }
  t.throws(() => encodeTimeline([{ effectiveLamport: 0, policy: { rules: [rule], default: 'allow' } }]), RangeError)
})

t.test('ST-4 the first matching rule decides, at the lamport of the node', async (t) => {
  for (const { rules, default: otherwise, checks } of published.reference.policy_rules) {
    const canWrite = compilePolicy(policyOf(rules, otherwise))
    for (const { key, author, allowed } of checks) t.equal(canWrite(key, keyOf(LABELS[author])), allowed)
  }
  t.equal(compilePolicy({ rules: [{ pathGlob: '**', canWrite: [], canRead: [], canDerive: [] }], default: 'allow' })('k', keyOf(1)), false)
  const deny = { rules: [], default: 'deny' as const }
  const timeline = [{ effectiveLamport: 5, policy: deny }, { effectiveLamport: 2, policy: OPEN_POLICY }, { effectiveLamport: 5, policy: OPEN_POLICY }, { effectiveLamport: 3, policy: deny }]
  t.same([0, 2, 3, 4, 5, 9].map((lamport) => policyAt(timeline, lamport).default), ['allow', 'allow', 'deny', 'deny', 'allow', 'allow'])
})

t.test('ST-5 replay gives the fixtures their maps, hashes and refusals', async (t) => {
  for (const [i, fixture] of (published.reference.policy_timeline_fixtures as Fixture[]).entries()) {
    const derived = published.derived.policy_timeline[i]
    const nodes = nodesOf(fixture)
    t.same(nodes.map((node) => toHex(idOf(node))), derived.node_ids_hex)
    for (const order of [nodes, [...nodes].reverse(), [...nodes, ...nodes]]) {
      const run = replay(order, { blake3, timeline: timelineOf(fixture) })
      if (fixture.expect.map === undefined) {
        await t.rejects(run, { code: 'reject.policy_violation', message: /^policy violation: author \[\d+, .*\] not permitted to write key 'protected\/x'$/ })
      } else {
        const { entries, hash } = await run
        t.same(textsOf(entries), fixture.expect.map)
        t.equal(toHex(hash), derived.canonical_hash_hex)
      }
    }
  }
  const { author_seed_byte: seed, state_hash_at_cut: cuts } = controlPlane.branch_fork_linear_chain
  const writes = Array.from({ length: 8 }, (_, i): [string, string] => [`world/path/${i}`, `v${i}`])
  for (const { cut, hash } of cuts) t.equal(toHex((await replay(chain(seed, writes).slice(0, cut), { blake3 })).hash), hash)
  t.same(chain(seed, writes).map((node) => toHex(idOf(node))), published.derived.linear_chain.ids_hex)
  const lane = published.derived.canonical_lane
  const nodes = chain(0x31, controlPlane.spec_auth_canonical_lane.cases[0].writes)
  t.same(nodes.map((node) => toHex(idOf(node))), lane.ids_hex)
  t.equal(toHex((await replay(nodes, { blake3 })).hash), lane.canonical_hash_hex)
  const late = controlPlane.spec_auth_canonical_lane.cases[1]
  t.same(textsOf((await replay(chain(late.author_seed_byte, late.writes_in_parent_child_order).reverse(), { blake3 })).entries), { 'intent_status/intent-1': late.expect.final_value })
  const root = signed(10, { lamport: 1, parents: [], ops: [set('a', '1')] })
  const left = signed(10, { lamport: 2, parents: [idOf(root)], ops: [set('b', 'L')] })
  const right = signed(11, { lamport: 2, parents: [idOf(root)], ops: [set('c', 'R')] })
  const merge = signed(10, { lamport: 3, parents: [idOf(left), idOf(right)], ops: [set('d', 'M')] })
  t.equal(toHex((await replay([merge, right, left, root], { blake3 })).hash), published.derived.diamond_dag.canonical_hash_hex)
})

t.test('ST-6 replay checks ids, signatures, parents and the ceiling', async (t) => {
  const verifier = createVerifier({ threads: 0 })
  const [first, second] = chain(1, [['a', '1'], ['b', '2']])
  t.equal((await replay([first, second], { blake3, verifier })).entries.length, 2)
  await t.rejects(replay([second], { blake3 }), { code: 'reject.missing_parent', message: `missing parent node: ${toHex(idOf(first))}` })
  const spoilt = (at: number) => {
    const copy = first.bytes.slice()
    copy[at] ^= 1
    return scanNode(cursor(copy))
  }
  await t.rejects(replay([spoilt(0)], { blake3 }), { code: 'reject.hash_mismatch' })
  await t.rejects(replay([second, first, spoilt(first.end - 1)], { blake3, verifier }), { code: 'reject.invalid_signature' })
  const at = (lamport: number, parents: Uint8Array[] = []) => signed(1, { lamport, parents, ops: [] })
  await replay([at(1_048_576)], { blake3 })
  await t.rejects(replay([at(1_048_577)], { blake3 }), { code: 'reject.lamport_ceiling' })
  const low = at(1_048_576)
  await replay([at(2_097_152, [idOf(low)]), low], { blake3 })
  await verifier.close()
})

interface Write { id_hex: string, transaction_postcard_hex: string, signature_hex: string }

t.test('ST-7 snapshots are those of the vectors', async (t) => {
  const same = (made: ReturnType<typeof createSnapshot>, vector: Write) => {
    t.equal(toHex(encodeTransaction(made)), vector.transaction_postcard_hex)
    t.same([toHex(made.id), toHex(made.signature)], [vector.id_hex, vector.signature_hex])
  }
  const [two, empty, policy, incremental] = published.derived.snapshots
  const foo = chain(0x2a, [['foo', 'bar'], ['baz', 'qux']])
  t.same(foo.map((node) => toHex(idOf(node))), two.write_ids_hex)
  const full = createSnapshot({ entries: entriesOf({ foo: 'bar', baz: 'qux', '\0x': 'left out' }), frontier: [idOf(foo[1])], clock: 2 }, signerOf(0x2a), blake3)
  same(full, two)
  t.equal(toHex(readSnapshot(full.ops).hash), two.snapshot_hash_hex)
  const { vector } = controlPlane.snapshot
  const next = createSnapshot({ entries: entriesOf({ foo: 'bar', baz: 'qux' }), frontier: [idOf(foo[1])], clock: 2, base: full.id }, signerOf(0x2a), blake3)
  t.same([toHex(next.id), toHex(encodeTransaction(next))], [vector.incremental_on_full.id, vector.incremental_on_full.tx_postcard_hex])
  const only = await replay([scanNode(cursor(encodeNode(full.id, encodeTransaction(full), full.signature)))], { blake3 })
  t.equal(toHex(only.hash), vector.replay_hash_of_graph_containing_only_snapshot)

  same(createSnapshot({ entries: [], frontier: [], clock: 0, timeline: [] }, signerOf(0x2a), blake3), empty)
  const rule = { pathGlob: 'protected/**', canWrite: [keyOf(0x2a)], canRead: [], canDerive: [] }
  const timeline = [{ effectiveLamport: 2, policy: { rules: [rule], default: 'deny' as const } }]
  same(createSnapshot({ entries: entriesOf({ 'protected/x': '1' }), frontier: [hex(policy.write_ids_hex[0])], clock: 1, timeline }, signerOf(0x2a), blake3), policy)

  const meta = chain(0x42, [['branch/meta/id', 'branch-a'], ['branch/meta/parent', 'root'], ['branch/meta/label', 'feature-x']])
  t.same(meta.map((node) => toHex(idOf(node))), incremental.write_ids_hex)
  const at = async (n: number) => ({ entries: (await replay(meta.slice(0, n), { blake3 })).entries, frontier: [idOf(meta[n - 1])], clock: n })
  const base = createSnapshot(await at(2), signerOf(0x42), blake3)
  same(base, incremental.full_snapshot)
  same(createSnapshot({ ...await at(3), base: base.id }, signerOf(0x42), blake3), incremental.incremental_snapshot)
})

t.test('ST-8 a snapshot is read with its signature', async (t) => {
  const verifier = createVerifier({ threads: 0 })
  const [view] = scanPack(fromBase64(published.derived.snapshots[0].pack_base64))
  const node = readNode(view)
  t.equal(isSnapshot(node.ops), true)
  t.equal(isSnapshot([set('\0snap:front', '')]), false)
  const { derived: { snapshots: [two] } } = published
  const read = await verifySnapshot(node, verifier)
  t.same([toHex(read.hash), read.frontier.map(toHex), read.base, read.policy], [two.snapshot_hash_hex, [two.write_ids_hex[1]], null, { hash: null, cutover: null }])
  await t.rejects(verifySnapshot({ ...node, signature: bytes(1, 64) }, verifier), { code: 'reject.invalid_signature' })
  await verifier.close()

  const [hash, front] = node.ops
  const put = (key: string, value: Uint8Array) => ({ type: 'map-set' as const, key, value })
  for (const ops of [[hash], [front], [], [hash, put('\0snap:front', bytes(2, 3))], [put('\0snap:hash', bytes(1, 31)), front]]) t.throws(() => readSnapshot(ops), { code: 'reject.hash_mismatch' })
  const odd = readSnapshot([put('\0snap:hash', bytes(9)), hash, front, put('\0snap:base', bytes(1, 4)), put('\0snap:policy:hash', bytes(1, 4)), put('\0snap:policy:cutover', bytes(1, 4))])
  t.same([toHex(odd.hash), odd.base, odd.policy], [two.snapshot_hash_hex, null, { hash: null, cutover: null }])
  t.same(readSnapshot([hash, front, put('\0snap:base', bytes(4))]).base, bytes(4))
})

t.test('ST-9 a snapshot fits a timeline when it names none or exactly that one', async (t) => {
  const make = (timeline: TimelineEntry[]) => readSnapshot(createSnapshot({ entries: [], frontier: [], clock: 0, timeline }, signerOf(1), blake3).ops)
  const entry = (effectiveLamport: number) => ({ effectiveLamport, policy: OPEN_POLICY })
  t.equal(isCompatible(make([]), [entry(3)], blake3), true)
  t.equal(isCompatible(make([entry(3)]), [entry(3)], blake3), true)
  t.equal(isCompatible(make([entry(3)]), [entry(4)], blake3), false)
  t.equal(isCompatible(make([entry(3)]), [], blake3), false)
  const named = make([entry(3)])
  t.equal(isCompatible({ ...named, policy: { ...named.policy, hash: null } }, [entry(3)], blake3), false)
  t.equal(isCompatible({ ...named, policy: { ...named.policy, cutover: null } }, [entry(3)], blake3), false)
  t.equal(isCompatible({ ...named, policy: { hash: null, cutover: null } }, [entry(3)], blake3), true)
})

t.test('ST-10 an echo or an acknowledgement confirms', async (t) => {
  const told: unknown[] = []
  const confirmed: AppliedNode[] = []
  const views = createViews({ onConflict: (conflict) => told.push(conflict), confirmed: () => confirmed })
  const receive = (node: AppliedNode) => { confirmed.push(node); views.remote(node) }
  const shown = () => [views.document, views.canonical].map((view) => textsOf(view.map.entries()))
  const mine = written(1, 1, 1, set('k', 'mine'))
  views.local(mine)
  t.same([...shown(), views.unconfirmed], [{ k: 'mine' }, {}, 1])
  receive(written(2, 2, 1, set('k', 'theirs')))
  t.same(shown(), [{ k: 'theirs' }, { k: 'theirs' }])
  views.local(written(3, 1, 2, set('k', 'mine again')))
  t.same([...shown(), views.unconfirmed], [{ k: 'mine again' }, { k: 'theirs' }, 2])
  receive(mine)
  t.same([views.unconfirmed, views.confirm(mine.id), views.confirm(bytes(3)), views.unconfirmed], [1, false, true, 0])
  t.same(shown(), [{ k: 'mine again' }, { k: 'mine again' }])
  t.equal(told.length, 2, 'each conflict once')
})

t.test('ST-11 only a pure snapshot of a trusted author skips the policy', async (t) => {
  const deny = [{ effectiveLamport: 0, policy: { rules: [], default: 'deny' as const } }]
  const trusted = { blake3, timeline: deny, isTrusted: (author: Uint8Array) => toHex(author) === keyOf(5) }
  const pure = (seed: number) => signed(seed, { lamport: 1, parents: [], ops: [set('\0snap:hash', 'x')] })
  const mixed = signed(5, { lamport: 1, parents: [], ops: [set('\0snap:hash', 'x'), set('k', 'v')] })
  t.equal(isPureSnapshot(readOps(mixed)), false)
  await replay([pure(5)], trusted)
  await t.rejects(replay([pure(6)], trusted), { code: 'reject.policy_violation' })
  await t.rejects(replay([mixed], trusted), { code: 'reject.policy_violation' })
  await t.rejects(replay([pure(5)], { blake3, timeline: deny }), { code: 'reject.policy_violation' })
})
