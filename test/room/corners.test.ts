import t from 'tap'
import type { SignatureJob } from '../../lib/protocol/crypto.js'
import { memoryBlobs } from '../../lib/store/memory-blobs.js'
import { memoryNodes } from '../../lib/store/memory-nodes.js'
import { createHandle } from '../../lib/room/handle.js'
import { faultyNodeStore } from '../../lib/testing/faulty-node-store.js'
import { createTestServer, nodesIn, packOf, peer, set, settle } from './harness.js'

/** A verifier that believes everything, when it is let. */
function heldVerifier () {
  let open!: () => void
  const gate = new Promise<void>((resolve) => { open = resolve })
  return {
    open,
    verifier: {
      async verify (jobs: readonly SignatureJob[]) {
        if (jobs.length > 1) await gate
        return jobs.map(() => true)
      },
      async close () {}
    }
  }
}

t.test('AC-25 one node pushed by two sessions at once is accepted once and acknowledged to both', async (t) => {
  const { server, join } = createTestServer(t)
  await server.store.open()
  const alice = peer(1)
  const [one, two] = [await join('plans', alice), await join('plans', alice)]
  const pack = packOf(alice, [alice.write(set('a'))])
  one.send(pack)
  two.send(pack)
  t.match(await one.next('pack-ack'), { accepted_count: 1, duplicate_count: 0 })
  t.match(await two.next('pack-ack'), { accepted_count: 1, duplicate_count: 1 })
})

t.test('AC-26 an orphan of two missing parents waits for both', async (t) => {
  const { server, join } = createTestServer(t)
  await server.store.open()
  const [alice, bob] = [peer(1), peer(2)]
  const parents = [alice.write(set('a')), bob.write(set('b'))]
  const child = peer(3, { nodes: parents }).write(set('c'))
  const client = await join('plans', alice)
  parents.sort(Buffer.compare)
  for (const node of [child, ...parents]) client.send(packOf(alice, [node]))
  for (let i = 0; i < 3; i++) await client.next('pack-ack')
  t.equal((await server.rooms.open('plans')).dag.size, 3)
})

t.test('AC-27 a repeat of a node that the store refused meanwhile is not acknowledged as known', async (t) => {
  const store = faultyNodeStore(memoryNodes())
  const { verifier, open } = heldVerifier()
  const { server, join } = createTestServer(t, { store, verifier })
  await server.store.open()
  const alice = peer(1)
  const [one, two] = [await join('plans', alice), await join('plans', alice)]
  const release = store.faults.hold('append')
  store.faults.fail('append')
  const node = alice.write(set('a'))
  const others = [peer(2).write(set('x')), peer(3).write(set('y'))]
  one.send(packOf(alice, [node]))
  await store.faults.held('append')
  two.send(packOf(alice, [node, ...others]))
  await settle()
  release()
  await one.next('error')
  open()
  t.match(await two.next('pack-ack'), { incoming_count: 3, accepted_count: 2, rejected: [{ code: 'reject.store_unavailable' }] })
})

t.test('RL-13 a subscriber gets nodes without operations and encrypted ones, whatever it asked for', async (t) => {
  const { server, join } = createTestServer(t)
  await server.store.open()
  const alice = peer(1)
  const writer = await join('plans', alice)
  const reader = await join('plans', peer(2), { subscribe: ['nothing'] })
  for (const ops of [[], set('\u0000e2ee')]) {
    writer.send(packOf(alice, [alice.write(ops)]))
    t.equal(nodesIn(await reader.next('pack'))[0], 1)
  }
})

t.test('BW-8 a host that throws on a blob ends that session; redirects are remembered for a thousand blobs', async (t) => {
  const broken = createTestServer(t, { globalBlobs: true, authorize: (_asker, action) => { if (action.type === 'blob') throw new Error('host bug'); return true } })
  await broken.server.store.open()
  const client = await broken.join('plans', peer(1))
  client.send({ type: 'blob-request', hashes: ['a'.repeat(64)] })
  t.equal((await client.ended()).code, 1011)
  const base = memoryBlobs()
  const blobs = { ...base, manifest: { ...base.manifest, presign: true }, presign: async () => ({ url: 'https://x', expiresAt: new Date() }) }
  const many = createTestServer(t, { globalBlobs: true, blobs })
  await many.server.store.open()
  await blobs.open()
  const other = await many.join('plans', peer(1))
  const hashes = Array.from({ length: 1_001 }, (_, i) => i.toString(16).padStart(64, '0'))
  other.send({ type: 'blob-request', hashes })
  await other.next('blob-pack')
  t.equal(other.session.redirects.size, 1_000)
  t.notOk(other.session.redirects.has(hashes[0]), 'the oldest is forgotten')
})

t.test('RM-5 the history of a large room is walked in slices', async (t) => {
  const { server } = createTestServer(t)
  await server.store.open()
  const alice = peer(1)
  await server.store.append([{ room: 'plans', after: 0, nodes: Array.from({ length: 6_000 }, (_, i) => alice.write(set(`k${i}`))) }])
  const room = createHandle(server, 'plans')
  let turns = 0
  const tick = (): void => { turns++; timer = setImmediate(tick) }
  let timer = setImmediate(tick)
  let count = 0
  for await (const node of room.nodes()) count += node.ops.length
  clearImmediate(timer)
  t.equal(count, 6_000)
  t.ok(turns > 2, `others had ${turns} turns`)
})

t.test('HS-22 whatever fails after a session has gone is nobody else\'s concern', async (t) => {
  const store = faultyNodeStore(memoryNodes())
  const { server, join } = createTestServer(t, { store })
  await server.store.open()
  const alice = peer(1)
  const client = await join('plans', alice)
  const release = store.faults.hold('append')
  store.faults.fail('append')
  for (let i = 0; i < 3; i++) client.send(packOf(alice, [alice.write(set(`k${i}`))]))
  client.send({ type: 'server-info' })
  await store.faults.held('append')
  await settle()
  client.leave()
  release()
  await settle()
  const again = await join('plans', alice)
  again.send(packOf(alice, [...alice.nodes()]))
  t.match(await again.next('pack-ack'), { accepted_count: 3 })
})

t.test('BW-9 a blob that is named but not there, declined or too large is unavailable; a broken store ends the session', async (t) => {
  const base = memoryBlobs()
  const blobs = {
    ...base,
    manifest: { ...base.manifest, presign: true },
    put: async () => { throw new Error('bug') }
  }
  const { server, join } = createTestServer(t, { blobs, limit: { blobSocketBytes: 3 } })
  await server.store.open()
  await base.open()
  const large = Buffer.from('large')
  const hash = Buffer.from(server.blake3.hash(large))
  await base.put(hash.toString('hex'), (async function * () { yield large })(), { maxBytes: 10 })
  const alice = peer(1)
  const client = await join('plans', alice)
  const absent = Buffer.alloc(32, 1)
  client.send(packOf(alice, [alice.write([{ type: 'map-set-blob', key: 'a', hash: absent }, { type: 'map-set-blob', key: 'b', hash }])]))
  await client.next('pack-ack')
  client.send({ type: 'blob-request', hashes: [absent.toString('hex'), hash.toString('hex')] })
  t.match(await client.next('blob-pack'), { blobs: [], requested: [absent.toString('hex'), hash.toString('hex')] })
  client.send({ type: 'blob-upload', blobs: [{ hash: 'c'.repeat(64), data: 'AAAA' }] })
  t.equal((await client.ended()).code, 1011)
})

t.test('RM-6 a room that cannot be is not opened, and a store that cannot say whether a room is locked lets nobody in', async (t) => {
  const store = faultyNodeStore(memoryNodes())
  const { server, connect } = createTestServer(t, { store })
  await server.store.open()
  await t.rejects(server.rooms.open(''), { code: 'reject.room_invalid' })
  store.faults.fail('state')
  const client = connect()
  client.send({ type: 'hello', pubkey: 'p' })
  t.equal((await client.next('error')).code, 'store.failed')
  t.equal((await client.ended()).code, 1008)
  const other = connect()
  other.session.close('reject.store_unavailable')
  t.equal(other.closed?.code, 1011, 'a reason without a close code of its own ends a session with 1011')
  client.session.close('reject.internal')
  t.equal(client.closed?.code, 1008, 'a session ends once')
})

t.test('RL-14 a reader that leaves in the middle of its catch-up ends it', async (t) => {
  const { server, join } = createTestServer(t, { limit: { frameBytes: 4_000 } })
  await server.store.open()
  const alice = peer(1)
  const writer = await join('plans', alice)
  writer.send(packOf(alice, Array.from({ length: 2_500 }, (_, i) => alice.write(set(`k${i}`, 'x'.repeat(2_000))))))
  await writer.next('pack-ack')
  const reader = await join('plans', peer(2))
  reader.stall()
  await settle()
  reader.leave()
  reader.flow()
  await settle()
  t.notOk(reader.session.follows(1e9))
  t.equal((await server.rooms.open('plans')).sessions.size, 1)
})
