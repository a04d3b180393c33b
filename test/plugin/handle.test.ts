import t from 'tap'
import { type Op, createSigner, levelNodes, memoryBlobs, memoryNodes } from '../../lib/index.js'
import { toHex } from '../../lib/protocol/hex.js'
import { faultyNodeStore } from '../../lib/testing/faulty-node-store.js'
import { host, peer, set } from './host.js'

const EMPTY_ROOT = 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262'

t.test('FP-50 a host opens, writes and reads a room without a socket', async (t) => {
  const { app } = await host(t)
  const room = app.nodalmerge.room('plans')
  t.equal(room.id, 'plans')
  t.same(await room.open(), { nodes: 0, sessions: 0, root: EMPTY_ROOT, frontier: [] })
  const first = await room.append(set('title', 'Plans'))
  const second = await room.append([
    { type: 'text-insert-range', key: 'text', anchor: { at: 'start' }, text: 'hello' },
    { type: 'map-set', key: 'title', value: Buffer.from('Better plans') }
  ])
  t.match(await room.open(), { nodes: 2, frontier: [second] })
  const nodes = []
  for await (const node of room.nodes()) nodes.push(node)
  t.same(nodes.map(({ id }) => toHex(id)), [first, second])
  t.same(nodes[1].parents.map(toHex), [first])
  t.same(nodes[1].author, app.nodalmerge.publicKey)
  t.ok(nodes[1].lamport > nodes[0].lamport)
})

t.test('FP-51 the host reads what clients wrote, operation by operation and as the resolved state', async (t) => {
  const { app, join } = await host(t)
  const anna = join('plans', peer(1))
  await anna.synced()
  const ops: Op[] = [...set('title', 'Plans'), { type: 'text-insert-range', key: 'text', anchor: { at: 'start' }, text: 'hello' }]
  anna.write(ops)
  await anna.synced()
  for await (const node of app.nodalmerge.room('plans').nodes()) {
    t.equal(toHex(node.author), anna.peer.key)
    t.same(node.ops.map((op) => op.type === 'map-set' ? { ...op, value: Buffer.from(op.value) } : op), ops)
  }
  const state = await app.nodalmerge.room('plans').state()
  t.equal(state.text('text').toString(), 'hello')
  t.equal(Buffer.from(state.map.get('title') ?? []).toString(), 'Plans')
})

t.test('FP-52 what the host writes is relayed like everybody\'s, as the server or as another key', async (t) => {
  const { app, join } = await host(t)
  const anna = join('plans', peer(1))
  await anna.synced()
  const actor = createSigner(new Uint8Array(32).fill(3))
  const room = app.nodalmerge.room('plans')
  const ids = [await room.append(set('a')), await room.append(set('b'), { as: actor })]
  await anna.until(() => ids.every((id) => anna.peer.has(id)))
  t.same((await anna.until(() => anna.frames.find(({ type }) => type === 'pack'))).from, 'server')
  const authors = []
  for await (const { author } of room.nodes()) authors.push(toHex(author))
  t.same(authors, [toHex(app.nodalmerge.publicKey), toHex(actor.publicKey)])
  t.match(await room.open(), { nodes: 2, sessions: 1 })
})

t.test('FP-53 appends that overlap are all kept, in one history', async (t) => {
  const { app } = await host(t, { data: t.testdir() })
  const room = app.nodalmerge.room('plans')
  const ids = await Promise.all(Array.from({ length: 200 }, (_, i) => room.append(set(`k${i}`))))
  t.equal(new Set(ids).size, 200)
  t.equal((await room.open()).nodes, 200)
})

t.test('FP-54 operations that are none are a TypeError, those the format cannot carry a RangeError, and nothing is kept', async (t) => {
  const { app } = await host(t)
  const room = app.nodalmerge.room('plans')
  const types: unknown[] = [
    undefined, null, 5, 'ops', {}, [null], [5], ['x'], [{}], [{ type: 'map-set' }], [{ type: 5 }], [{ type: 'map-set', key: 5, value: new Uint8Array() }],
    [{ type: 'map-set', key: 'a', value: 'text' }], [{ type: 'map-set', key: 'a', value: null }], [{ type: 'map-delete' }],
    [{ type: 'map-set-blob', key: 'a', hash: 'ab' }], [{ type: 'text-insert', key: 'a', after: null, char: 5 }],
    [{ type: 'text-insert-range', key: 'a', anchor: 'start', text: 'x' }], [{ type: 'text-delete-range', key: 'a', anchor: { at: 'start' }, count: 'x' }],
    [{ type: 'list-insert', key: 'a', item: 'x', position: 'a' }]
  ]
  for (const ops of types) await t.rejects(room.append(ops as never), TypeError, JSON.stringify(ops) ?? 'undefined')
  const values: unknown[] = [
    [{ type: 'map-put', key: 'a' }], [{ type: 'map-set', key: '\ud800', value: new Uint8Array() }], [{ type: 'map-set-blob', key: 'a', hash: new Uint8Array(31) }],
    [{ type: 'text-insert', key: 'a', after: null, char: 'ab' }], [{ type: 'text-insert', key: 'a', after: null, char: '' }],
    [{ type: 'text-delete-range', key: 'a', anchor: { at: 'start' }, count: -1 }], [{ type: 'text-delete-range', key: 'a', anchor: { at: 'start' }, count: 1.5 }],
    [{ type: 'text-delete-range', key: 'a', anchor: { at: 'start' }, count: 2 ** 32 }], [{ type: 'text-insert-range', key: 'a', anchor: { at: 'middle' }, text: 'x' }],
    [{ type: 'list-insert', key: 'a', item: new Uint8Array(15), position: 'a' }]
  ]
  for (const ops of values) await t.rejects(room.append(ops as never), RangeError, JSON.stringify(ops))
  t.equal((await room.open()).nodes, 0)
})

t.test('FP-55 room ids of a wrong type are a TypeError, of a wrong value a coded refusal', async (t) => {
  const { app } = await host(t)
  for (const id of [undefined, null, 5, {}, ['a']]) {
    t.throws(() => app.nodalmerge.room(id as never), TypeError, String(id))
  }
  for (const id of ['', 'a\u0000b', 'x'.repeat(257)]) await t.rejects(app.nodalmerge.room(id).open(), { code: 'reject.room_invalid' })
})

t.test('FP-56 keys and policies are checked before they are taken', async (t) => {
  const { app } = await host(t)
  const room = app.nodalmerge.room('plans')
  for (const key of [undefined, null, 5, {}]) await t.rejects(room.lock(key as never), TypeError, String(key))
  for (const key of ['', 'zz', 'ab'.repeat(31), new Uint8Array(31), new Uint8Array(32), '0'.repeat(64), 'f'.repeat(64)]) {
    await t.rejects(room.lock(key), RangeError, String(key))
  }
  const wrong: unknown[] = [undefined, null, 5, 'deny', { rules: 5 }, { rules: {} }, { rules: [null] }, { rules: [{ path: 5, write: [] }] }, { rules: [{ path: 'a' }] }, { rules: [{ path: 'a', write: 'all' }] }, { rules: [{ path: 'a', write: [5] }] }]
  for (const policy of wrong) await t.rejects(room.setPolicy(policy as never), TypeError, JSON.stringify(policy) ?? 'undefined')
  for (const policy of [{ default: 'maybe' }, { rules: [{ path: 'a', write: ['zz'] }] }]) {
    await t.rejects(room.setPolicy(policy as never), RangeError, JSON.stringify(policy))
  }
  t.same(await room.rights(), { key: null, timeline: [{ effectiveLamport: 0, policy: { rules: [], default: 'allow' } }] })
})

t.test('FP-57 a room is locked once, and who is in it without a token is asked to come back with one', async (t) => {
  const { app, raw } = await host(t)
  const client = raw()
  await client.hello()
  const owner = createSigner(new Uint8Array(32).fill(9))
  const room = app.nodalmerge.room('plans')
  await room.lock(toHex(owner.publicKey).toUpperCase())
  t.equal((await client.closed()).code, 4002)
  t.match(await room.rights(), { key: toHex(owner.publicKey) })
  await t.rejects(room.lock(owner.publicKey), { code: 'reject.room_locked' })
})

t.test('FP-58 a lock or a policy that was not kept is not in force', async (t) => {
  const nodes = faultyNodeStore(memoryNodes())
  const { app, raw } = await host(t, { nodes, blobs: memoryBlobs() })
  const room = app.nodalmerge.room('plans')
  nodes.faults.fail('putState', { times: 2 })
  await t.rejects(room.lock(createSigner(new Uint8Array(32).fill(9)).publicKey), { code: 'reject.store_unavailable' })
  await t.rejects(room.setPolicy({ default: 'deny' }), { code: 'reject.store_unavailable' })
  t.match(await room.rights(), { key: null, timeline: { length: 1 } })
  await raw().hello()
})

t.test('FP-59 changes of a room\'s rights that overlap are all kept', async (t) => {
  const { app } = await host(t, { data: t.testdir() })
  const room = app.nodalmerge.room('plans')
  const owner = createSigner(new Uint8Array(32).fill(9))
  await Promise.all([room.setPolicy({ default: 'deny' }), room.lock(owner.publicKey), room.setPolicy({ default: 'allow' })])
  const rights = await room.rights()
  t.equal(rights.key, toHex(owner.publicKey))
  t.same(rights.timeline.map(({ effectiveLamport, policy }) => [effectiveLamport, policy.default]), [[0, 'allow'], [1, 'deny'], [2, 'allow']])
  const [first, second] = await Promise.allSettled([app.nodalmerge.room('other').lock(owner.publicKey), app.nodalmerge.room('other').lock(peer(1).publicKey)])
  t.same([first.status, second.status], ['fulfilled', 'rejected'], 'only one lock wins')
})

t.test('FP-60 a refused append tells why', async (t) => {
  const { app } = await host(t)
  const room = app.nodalmerge.room('plans')
  await room.setPolicy({ default: 'deny' })
  const actor = createSigner(new Uint8Array(32).fill(3))
  await t.rejects(room.append(set('a'), { as: actor }), { name: 'NodalmergeError', code: 'reject.policy_violation' })
  t.match(await room.append(set('a')), /^[0-9a-f]{64}$/, 'the server itself is not bound by the policy')
  const small = createSigner(new Uint8Array(32).fill(3))
  const forged = { publicKey: small.publicKey, sign: () => new Uint8Array(64) }
  await t.rejects(app.nodalmerge.room('other').append(set('a'), { as: forged }), { code: 'reject.invalid_signature' })
})

t.test('FP-61 a store that fails refuses the append, keeps nothing of it and works again afterwards', async (t) => {
  const nodes = faultyNodeStore(levelNodes({ path: t.testdir() }))
  const { app } = await host(t, { nodes, blobs: memoryBlobs() })
  const room = app.nodalmerge.room('plans')
  nodes.faults.fail('append')
  await t.rejects(room.append(set('a')), { code: 'reject.store_unavailable', retry: true })
  t.equal((await room.open()).nodes, 0)
  await room.append(set('a'))
  t.equal((await room.open()).nodes, 1)
})

t.test('FP-62 rooms lists every room with content, resident or not, and none that was only looked at', async (t) => {
  const data = t.testdir()
  const first = await host(t, { data })
  for (const room of ['b', 'a/ü', '__proto__']) await first.app.nodalmerge.room(room).append(set('a'))
  await first.app.nodalmerge.room('looked at').open()
  await first.raw('/ws/visited').hello()
  await first.app.close()
  const { app } = await host(t, { data })
  const rooms: string[] = []
  for await (const room of app.nodalmerge.rooms()) rooms.push(room)
  t.same(rooms.sort(), ['__proto__', 'a/ü', 'b'].sort())
})

t.test('FP-63 the decorator cannot be changed', async (t) => {
  const { app } = await host(t)
  t.ok(Object.isFrozen(app.nodalmerge))
  t.equal(app.nodalmerge.publicKey.length, 32)
  app.nodalmerge.publicKey.fill(0)
  t.notSame(app.nodalmerge.publicKey, new Uint8Array(32), 'a caller that scribbles on the key scribbles on a copy')
})

t.test('FP-64 every kind of operation can be appended', async (t) => {
  const { app } = await host(t, { key: 'ab'.repeat(32), operatorKey: new Uint8Array(32).fill(1) })
  const room = app.nodalmerge.room('plans')
  const author = app.nodalmerge.publicKey
  const item = new Uint8Array(16).fill(1)
  await room.append([{ type: 'text-insert-range', key: 't', anchor: { at: 'start' }, text: 'abc' }])
  const id = { lamport: 1, author }
  const ops: Op[] = [
    { type: 'map-set', key: 'a', value: Buffer.from('1') }, { type: 'map-delete', key: 'b' }, { type: 'map-set-blob', key: 'c', hash: new Uint8Array(32) },
    { type: 'list-insert', key: 'l', item, position: 'V' }, { type: 'list-move', key: 'l', item, position: 'k' }, { type: 'list-delete', key: 'l', item },
    { type: 'text-insert', key: 'u', after: null, char: 'x' }, { type: 'text-insert', key: 't', after: id, char: 'y' }, { type: 'text-delete', key: 't', target: id }
  ]
  for (const op of ops) await room.append([op])
  await room.append([{ type: 'text-insert-range', key: 't', anchor: { at: 'after', id: { lamport: 2, author } }, text: '!' }])
  await room.append([{ type: 'text-delete-range', key: 't', anchor: { at: 'offset', offset: 0 }, count: 1 }])
  await room.append([{ type: 'text-insert-range', key: 't', anchor: { at: 'end' }, text: '.' }])
  const state = await room.state()
  t.equal((await room.open()).nodes, 13)
  t.equal(state.text('u').toString(), 'x')
  t.match(state.text('t').toString(), /\.$/)
  t.match(state.map.get('a'), Buffer.from('1'))
  await t.rejects(room.append([{ type: 'text-delete', key: 't', target: {} as never }]), TypeError)
  await t.rejects(room.append([{ type: 'text-insert-range', key: 't', anchor: { at: 'after', id: 5 as never }, text: 'x' }]), TypeError)
})
