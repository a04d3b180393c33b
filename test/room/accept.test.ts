import t from 'tap'
import { randomBytes } from 'node:crypto'
import { createSigner } from '../../lib/crypto/ed25519.js'
import { toHex } from '../../lib/protocol/hex.js'
import { type Transaction, encodeNode, encodeTransaction, nodeId } from '../../lib/protocol/node.js'
import type { Op } from '../../lib/protocol/op.js'
import { encodePack } from '../../lib/protocol/pack.js'
import { faultyNodeStore } from '../../lib/testing/faulty-node-store.js'
import { memoryNodes } from '../../lib/store/memory-nodes.js'
import { type Frame, blake3, createTestServer, nodesIn, packOf, peer, set, settle } from './harness.js'

const NOW = 1_700_000_000_000
const mallory = createSigner(new Uint8Array(32).fill(66))

/** A node with any content, signed by Mallory unless told otherwise. */
function forge (tx: Partial<Transaction>, change: { id?: Uint8Array, signature?: Uint8Array } = {}): Uint8Array {
  const transaction = encodeTransaction({ author: mallory.publicKey, lamport: 1, wallMs: 0, ops: set('k'), parents: [], ...tx })
  const id = change.id ?? nodeId(transaction, blake3)
  return encodeNode(id, transaction, change.signature ?? mallory.sign(id))
}

const idOf = (node: Uint8Array): string => toHex(node.subarray(0, 32))
const push = (nodes: readonly Uint8Array[], fields: object = {}): object =>
  ({ type: 'pack', nodes: Buffer.from(encodePack(nodes)).toString('base64'), ...fields })

t.test('AC-2 a pack is acknowledged with its counts; duplicates count as accepted', async (t) => {
  const { server, join } = createTestServer(t)
  await server.store.open()
  const alice = peer(1)
  const client = await join('plans', alice)
  const nodes = [alice.write(set('a')), alice.write(set('b'))]
  client.send(packOf(alice, nodes, { id: 'p1' }))
  t.same(await client.next('pack-ack'), {
    type: 'pack-ack', room: 'plans', id: 'p1', incoming_count: 2, accepted_count: 2, rejected_count: 0, duplicate_count: 0
  })
  client.send(push([...nodes, ...nodes]))
  t.match(await client.next('pack-ack'), { incoming_count: 4, accepted_count: 4, rejected_count: 0, duplicate_count: 4 })
  t.equal((await server.rooms.open('plans')).dag.size, 2)
})

t.test('AC-3 a pack that cannot be read is told so byte for byte and changes nothing', async (t) => {
  const { server, join } = createTestServer(t)
  await server.store.open()
  const client = await join('plans', peer(1))
  for (const nodes of ['%%%', 'A', 'AA=A']) {
    client.send({ type: 'pack', nodes })
    t.equal((await client.next('error')).msg, 'invalid pack: bad base64')
  }
  const good = Buffer.from(encodePack([forge({})]))
  for (const bytes of [Buffer.alloc(0), good.subarray(0, 100), Buffer.from([0xff, 0xff, 0xff, 0xff, 0x7f])]) {
    client.send({ type: 'pack', nodes: bytes.toString('base64') })
    t.equal((await client.next('error')).msg, 'invalid pack: bad postcard')
  }
  client.send({ type: 'pack' })
  t.equal((await client.next('error')).msg, 'invalid pack: bad postcard', 'missing nodes read as an empty text')
  t.equal(client.closed, null)
})

t.test('AC-4 every kind of bad node is refused with its reason; the good ones beside it are accepted', async (t) => {
  const { server, join } = createTestServer(t)
  await server.store.open()
  const client = await join('plans', peer(1))
  const bad: Array<[Uint8Array, string, RegExp]> = [
    [forge({}, { id: new Uint8Array(32).fill(1) }), 'reject.hash_mismatch', /^hash mismatch: expected /],
    [forge({ ops: set('s') }, { signature: randomBytes(64) }), 'reject.invalid_signature', /^invalid ed25519 signature on node /],
    [forge({ ops: set('z') }, { signature: new Uint8Array(64) }), 'reject.invalid_signature', /invalid ed25519/],
    [forge({ lamport: 1_048_577 + 1 }), 'reject.lamport_ceiling', /lamport ceiling exceeded on node /],
    [forge({ wallMs: NOW + 86_400_001 }), 'reject.wall_clock_skew', /wall clock skew on node /],
    [forge({ ops: set('\u0000snap:hash') }), 'reject.authority_required', /reserved/],
    [forge({ ops: [...set('\u0000e2ee'), ...set('plain')] }), 'reject.authority_required', /reserved/]
  ]
  for (const [node, code, text] of bad) {
    client.send(push([node, forge({ ops: set(`beside ${code}`, String(Math.random())) })]))
    const error = await client.next('error')
    t.equal(error.code, code)
    t.match(error.msg, text)
    const ack = await client.next('pack-ack')
    t.match(ack, { incoming_count: 2, accepted_count: 1, rejected_count: 1, rejected: [{ id: idOf(node), code }] })
  }
})

t.test('AC-5 the limits of lamport and wall clock are exact, and the clock runs on through a pack', async (t) => {
  const { server, join } = createTestServer(t)
  await server.store.open()
  const client = await join('plans', peer(1))
  client.send(push([forge({ lamport: 1_048_576, wallMs: NOW + 86_400_000 })]))
  t.equal((await client.next('pack-ack')).accepted_count, 1)
  const root = forge({ lamport: 2_000_000 })
  const child = forge({ lamport: 3_000_000, parents: [root.subarray(0, 32)] })
  client.send(push([child, root]))
  t.equal((await client.next('pack-ack')).accepted_count, 2, 'the child is measured after its parent, wherever it stands in the pack')
  t.equal((await server.rooms.open('plans')).clock, 3_000_000)
})

t.test('AC-6 a range insert moves the clock past its last character', async (t) => {
  const { server, join } = createTestServer(t)
  await server.store.open()
  const client = await join('plans', peer(1))
  client.send(push([forge({ lamport: 5, ops: [{ type: 'text-insert-range', key: 't', anchor: { at: 'start' }, text: 'hello' }] })]))
  await client.next('pack-ack')
  t.equal((await server.rooms.open('plans')).clock, 9)
})

t.test('AC-7 an orphan is reported at once and accepted when its parent comes, across packs and sessions', async (t) => {
  const { server, join } = createTestServer(t)
  await server.store.open()
  const alice = peer(1)
  const [root, child, grandchild] = ['a', 'b', 'c'].map((key) => alice.write(set(key)))
  const first = await join('plans', alice)
  const second = await join('plans', peer(2))
  first.send(push([grandchild, child]))
  t.match(await first.next('error'), { msg: 'missing_parent: 2 node(s) unresolved', code: 'reject.missing_parent', retry: true })
  t.match(await first.next('pack-ack'), { incoming_count: 2, accepted_count: 0, rejected_count: 2, rejected: [{ code: 'reject.missing_parent' }, {}] })
  second.send(push([root]))
  t.match(await second.next('pack-ack'), { incoming_count: 1, accepted_count: 1 })
  t.equal((await server.rooms.open('plans')).dag.size, 3)
  const replica = peer(3)
  const seen = async (client: typeof first): Promise<void> => { replica.receive(nodesIn(await client.next('pack'))) }
  await seen(first)
  await settle()
  for (const frame of [...first.frames, ...second.frames]) if (frame.type === 'pack') replica.receive(nodesIn(frame))
  t.equal(replica.root, alice.root)
})

t.test('AC-8 orphans are bounded in number and in time; one with a bad signature is not kept', async (t) => {
  const { server, clock, join } = createTestServer(t, { limit: { orphanNodes: 2 } })
  await server.store.open()
  const client = await join('plans', peer(1))
  const root = forge({ ops: set('root') })
  const children = [1, 2, 3].map((n) => forge({ lamport: 2, ops: set(`c${n}`), parents: [root.subarray(0, 32)] }))
  client.send(push([forge({ parents: [root.subarray(0, 32)] }, { signature: randomBytes(64) })]))
  t.equal((await client.next('error')).code, 'reject.invalid_signature')
  client.send(push(children))
  client.send(push([root]))
  for (let i = 0; i < 3; i++) await client.next('pack-ack')
  t.equal((await server.rooms.open('plans')).dag.size, 3, 'the oldest of three was dropped')
  const other = forge({ ops: set('other') })
  client.send(push([forge({ ops: set('late'), parents: [other.subarray(0, 32)] })]))
  await client.next('pack-ack')
  clock.advance(62_000)
  client.session.alive()
  client.send(push([other]))
  await client.next('pack-ack')
  t.equal((await server.rooms.open('plans')).dag.size, 4, 'the orphan had waited too long')
})

t.test('AC-9 an orphan that turns out to be unacceptable is told to the session that sent it', async (t) => {
  const { server, join } = createTestServer(t)
  await server.store.open()
  const sender = await join('plans', peer(1))
  const other = await join('plans', peer(2))
  const root = forge({ ops: set('root') })
  sender.send(push([forge({ lamport: 9_000_000, parents: [root.subarray(0, 32)] })]))
  t.equal((await sender.next('error')).code, 'reject.missing_parent')
  other.send(push([root]))
  t.equal((await sender.next('error')).code, 'reject.lamport_ceiling')
  t.notOk(other.frames.some(({ type }) => type === 'error'))
})

t.test('AC-10 a repeat of a node that was refused in the same pack shares its fate', async (t) => {
  const { server, join } = createTestServer(t)
  await server.store.open()
  const client = await join('plans', peer(1))
  const bad = forge({}, { signature: randomBytes(64) })
  client.send(push([bad, bad]))
  t.match(await client.next('pack-ack'), { incoming_count: 2, accepted_count: 0, rejected_count: 2, duplicate_count: 0 })
})

t.test('AC-11 nothing is acknowledged or shown before it is durable, and acknowledgement comes before relay', async (t) => {
  const store = faultyNodeStore(memoryNodes())
  const { server, join } = createTestServer(t, { store })
  await server.store.open()
  const alice = peer(1)
  const writer = await join('plans', alice)
  const reader = await join('plans', peer(2))
  const release = store.faults.hold('append')
  writer.send(packOf(alice, [alice.write(set('a'))]))
  await store.faults.held('append')
  await settle()
  t.notOk(writer.frames.some(({ type }) => type === 'pack-ack'))
  t.notOk(reader.frames.some(({ type }) => type === 'pack'))
  const late = await join('plans', peer(3))
  t.equal(late.frames[0].frontier instanceof Array && late.frames[0].frontier.length, 0, 'a newcomer is not shown it either')
  writer.send(packOf(alice, [alice.write(set('b'))]))
  await settle()
  release()
  await writer.next('pack-ack')
  await writer.next('pack-ack')
  t.match(await reader.next('pack'), { from: alice.key })
  await late.next('pack')
})

t.test('AC-12 a duplicate of a node on its way to the store is acknowledged only with it', async (t) => {
  const store = faultyNodeStore(memoryNodes())
  const { server, join } = createTestServer(t, { store })
  await server.store.open()
  const alice = peer(1)
  const [one, two] = [await join('plans', alice), await join('plans', alice)]
  const release = store.faults.hold('append')
  const node = alice.write(set('a'))
  one.send(push([node]))
  await store.faults.held('append')
  two.send(push([node]))
  await settle()
  t.notOk(two.frames.some(({ type }) => type === 'pack-ack'))
  release()
  t.match(await two.next('pack-ack'), { accepted_count: 1, duplicate_count: 1 })
})

t.test('AC-13 a failing store acknowledges nothing, relays nothing, keeps the session and loses nothing', async (t) => {
  const store = faultyNodeStore(memoryNodes())
  const { server, join } = createTestServer(t, { store })
  await server.store.open()
  const alice = peer(1)
  const writer = await join('plans', alice)
  const reader = await join('plans', peer(2))
  const release = store.faults.hold('append')
  store.faults.fail('append')
  const nodes = ['a', 'b', 'c'].map((key) => alice.write(set(key)))
  const bystander = forge({ ops: set('bystander') })
  writer.send(push(nodes.slice(0, 1)))
  await store.faults.held('append')
  writer.send(push(nodes.slice(1, 2)))
  reader.send(push([bystander]))
  await settle()
  release()
  for (let i = 0; i < 2; i++) t.match(await writer.next('error'), { code: 'reject.store_unavailable', retry: true })
  t.match(await reader.next('pack-ack'), { accepted_count: 1 }, 'what did not depend on the failed commit went into the next')
  await settle()
  t.notOk(reader.frames.some(({ type }) => type === 'pack'))
  t.notOk(writer.frames.some(({ type }) => type === 'pack-ack'))
  t.equal(writer.closed, null)
  writer.send(push(nodes))
  t.match(await writer.next('pack-ack'), { accepted_count: 3, duplicate_count: 0 })
  t.equal((await server.rooms.open('plans')).dag.size, 4)
})

t.test('AC-14 a commit that failed but was kept is found again and does no harm', async (t) => {
  const store = faultyNodeStore(memoryNodes())
  const { server, join } = createTestServer(t, { store })
  await server.store.open()
  const alice = peer(1)
  const writer = await join('plans', alice)
  store.faults.fail('append', { kept: true })
  const nodes = ['a', 'b'].map((key) => alice.write(set(key)))
  writer.send(push(nodes.slice(0, 1)))
  await writer.next('error')
  writer.send(push(nodes))
  t.match(await writer.next('pack-ack'), { incoming_count: 2, accepted_count: 2 })
  const stored: Uint8Array[] = []
  for await (const chunk of store.load('plans', 0, () => t.fail('damaged'))) stored.push(...chunk.nodes)
  t.equal(new Set(stored.map(idOf)).size, 2)
  t.equal((await server.rooms.open('plans')).dag.size, 2)
})

t.test('AC-15 rate limits count new nodes and close with 4008 before anything is imported', async (t) => {
  const { server, join } = createTestServer(t, { limit: { nodesPerSecond: 2, bytesPerSecond: 1_000_000, reconcileNodes: 0 } })
  await server.store.open()
  const alice = peer(1)
  const client = await join('plans', alice)
  const nodes = ['a', 'b', 'c'].map((key) => alice.write(set(key)))
  client.send(push(nodes.slice(0, 2)))
  await client.next('pack-ack')
  client.send(push([...nodes.slice(0, 2), ...nodes.slice(0, 2)]))
  await client.next('pack-ack')
  client.send(push(nodes))
  t.same(await client.ended(), { code: 4008, reason: 'rate limit exceeded' })
  t.notOk(client.frames.some(({ type }) => type === 'error'), 'no error frame precedes it')
  t.equal((await server.rooms.open('plans')).dag.size, 2)
})

t.test('AC-16 who repeats a refused node is answered ever more slowly, honestly', async (t) => {
  const { server, clock, join } = createTestServer(t)
  await server.store.open()
  const client = await join('plans', peer(1))
  const bad = push([forge({}, { signature: randomBytes(64) })])
  const acks = (): Frame[] => client.frames.filter(({ type }) => type === 'pack-ack')
  for (let i = 0; i < 2; i++) { client.send(bad); await client.next('pack-ack') }
  for (const delay of [250, 500]) {
    client.send(bad)
    await settle()
    const before = acks().length
    clock.advance(delay - 1)
    await settle()
    t.equal(acks().length, before)
    clock.advance(1)
    t.match(await client.next('pack-ack'), { accepted_count: 0, rejected_count: 1 })
  }
  client.send(bad)
  await settle()
  client.leave()
  clock.advance(60_000)
})

t.test('AC-17 the empty pack says nothing, unless it asks for an answer', async (t) => {
  const { server, join } = createTestServer(t)
  await server.store.open()
  const client = await join('plans', peer(1))
  for (let i = 0; i < 100; i++) client.send({ type: 'pack', nodes: 'AA==' })
  client.send({ type: 'pack', nodes: 'AA==', id: 7 })
  t.match(await client.next('pack-ack'), { id: 7, incoming_count: 0, accepted_count: 0 })
  t.equal(client.frames.length, 2)
})

t.test('AC-18 policy: the first rule that matches decides, one denied operation refuses the node, the server is exempt', async (t) => {
  const { server, join } = createTestServer(t)
  await server.store.open()
  const alice = peer(1)
  const room = await server.rooms.open('plans')
  await room.setPolicy({
    default: 'deny',
    rules: [{ pathGlob: 'world/**', canWrite: [], canRead: [], canDerive: [] }, { pathGlob: 'intent/*', canWrite: [alice.key], canRead: [], canDerive: [] }]
  })
  const client = await join('plans', alice)
  const ok = alice.write(set('intent/x'))
  client.send(push([ok]))
  t.equal((await client.next('pack-ack')).accepted_count, 1)
  for (const ops of [set('world/x'), set('other'), [...set('intent/y'), ...set('world/y')], [...set('intent/y', '2'), { type: 'list-delete', key: 'l', item: new Uint8Array(16) } as Op]]) {
    const fresh = peer(1, { nodes: [ok] })
    client.send(push([fresh.write(ops)]))
    t.match(await client.next('error'), { code: 'reject.policy_violation', msg: /^policy violation: author \[\d+(, \d+){31}\] not permitted to write key '/ })
  }
  const { server: { signer } } = { server }
  const transaction = encodeTransaction({ author: signer.publicKey, lamport: 9, wallMs: 0, ops: set('world/x'), parents: [] })
  const id = nodeId(transaction, blake3)
  client.send(push([encodeNode(id, transaction, signer.sign(id))]))
  await client.next('pack-ack')
  await client.next('pack-ack')
})

t.test('AC-19 the host may refuse a write by key and author; its exceptions end only that session', async (t) => {
  const { server, join } = createTestServer(t, {
    authorize: async (_asker, action) => {
      if (action.type !== 'write') return true
      if (action.keys.includes('boom')) throw new Error('host bug')
      return action.keys.includes('secret') ? { refused: `no ${action.keys.join()} for ${action.author.slice(0, 4)}` } : true
    }
  })
  await server.store.open()
  const alice = peer(1)
  const client = await join('plans', alice)
  const other = await join('plans', peer(2))
  client.send(push([forge({ ops: set('secret') }), forge({ ops: set('open') })]))
  t.match(await client.next('error'), { code: 'reject.path_scope_forbidden', msg: /^no secret for / })
  t.equal((await client.next('pack-ack')).accepted_count, 1)
  client.send(push([forge({ ops: set('boom') })]))
  t.equal((await client.ended()).code, 1011)
  other.send({ type: 'server-info' })
  await other.next('server-info')
})

t.test('AC-20 encrypted nodes of ordinary authors are accepted', async (t) => {
  const { server, join } = createTestServer(t)
  await server.store.open()
  const client = await join('plans', peer(1))
  client.send(push([forge({ ops: set('\u0000e2ee') })]))
  t.equal((await client.next('pack-ack')).accepted_count, 1)
})

t.test('AC-21 relaxed durability relays first; the acknowledgement waits, and what the store refused is offered again', async (t) => {
  const store = faultyNodeStore(memoryNodes())
  const { server, clock, join } = createTestServer(t, { store, relaxed: true })
  await server.store.open()
  const alice = peer(1)
  const writer = await join('plans', alice)
  const reader = await join('plans', peer(2))
  const release = store.faults.hold('append')
  store.faults.fail('append')
  const node = alice.write(set('a'))
  writer.send(push([node]))
  await reader.next('pack')
  t.notOk(writer.frames.some(({ type }) => type === 'pack-ack'))
  release()
  t.equal((await writer.next('error')).code, 'reject.store_unavailable')
  writer.send(push([alice.write(set('b'))]))
  t.equal((await writer.next('error')).code, 'reject.store_unavailable', 'nothing more is taken while something is unsaved')
  clock.advance(1_000)
  await settle()
  t.equal(await store.version('plans'), 1)
  writer.send(push([node]))
  t.match(await writer.next('pack-ack'), { accepted_count: 1, duplicate_count: 1 })
})

t.test('AC-22 a large pack is worked off in slices and in one order', async (t) => {
  const { server, join } = createTestServer(t, { limit: { commitBytes: 100_000 } })
  await server.store.open()
  const alice = peer(1, { verify: false })
  const nodes = Array.from({ length: 3_000 }, (_, i) => alice.write(set(`k${i}`)))
  const client = await join('plans', alice)
  let turns = 0
  const tick = setInterval(() => turns++, 1)
  client.send(push(nodes.toReversed()))
  t.match(await client.next('pack-ack'), { accepted_count: 3_000 })
  clearInterval(tick)
  t.ok(turns > 5, `the loop went round ${turns} times`)
  t.equal(toHex((await server.rooms.open('plans')).dag.root()), alice.root)
})

t.test('AC-23 a room is read back whole, whatever the order, and without what is damaged', async (t) => {
  const store = memoryNodes()
  await store.open()
  const alice = peer(1)
  const nodes = ['a', 'b', 'c'].map((key) => alice.write(set(key)))
  const liar = forge({ ops: set('x') }, { id: new Uint8Array(32).fill(9) })
  const orphan = forge({ ops: set('o'), parents: [new Uint8Array(32).fill(8)] })
  await store.append([{ room: 'plans', after: 0, nodes: [nodes[2], liar, nodes[0], orphan, nodes[1]] }])
  const { server } = createTestServer(t, { store })
  const room = await server.rooms.open('plans')
  t.equal(room.dag.size, 3)
  t.equal(toHex(room.dag.root()), alice.root)
  t.equal(room.seq, 5)
})

t.test('AC-24 a stored room beyond the lamport ceiling loads completely', async (t) => {
  const store = memoryNodes()
  await store.open()
  await store.append([{ room: 'plans', after: 0, nodes: [forge({ lamport: 50_000_000 })] }])
  const { server } = createTestServer(t, { store })
  t.equal((await server.rooms.open('plans')).clock, 50_000_000)
})
