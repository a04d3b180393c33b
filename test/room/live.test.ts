import t from 'tap'
import { createSigner } from '../../lib/crypto/ed25519.js'
import { toHex } from '../../lib/protocol/hex.js'
import { mintToken } from '../../lib/protocol/token.js'
import { memoryBlobs } from '../../lib/store/memory-blobs.js'
import { memoryNodes } from '../../lib/store/memory-nodes.js'
import { faultyNodeStore } from '../../lib/testing/faulty-node-store.js'
import { type Client, type Frame, type TestServer, blake3, createTestServer, nodesIn, packOf, peer, set, settle } from './harness.js'

async function open (t: Parameters<typeof createTestServer>[0], overrides: Parameters<typeof createTestServer>[1] = {}): Promise<TestServer> {
  const made = createTestServer(t, overrides)
  await made.server.store.open()
  await made.server.blobs.open()
  return made
}

const types = (client: Client): string[] => client.frames.map(({ type }) => type)
const packs = (client: Client): Frame[] => client.frames.filter(({ type }) => type === 'pack')

t.test('RL-1 a relay reaches every other session, a second tab of the sender included, once, with from and root', async (t) => {
  const { join } = await open(t)
  const alice = peer(1)
  const [tab1, tab2, bob] = [await join('plans', alice), await join('plans', alice), await join('plans', peer(2))]
  tab1.send(packOf(alice, [alice.write(set('a'))]))
  for (const client of [tab2, bob]) {
    const frame = await client.next('pack')
    t.equal(frame.from, alice.key)
    t.equal(frame.root, alice.root)
  }
  await tab1.next('pack-ack')
  await settle()
  t.equal(packs(tab1).length, 0, 'the connection it came from is left out')
})

t.test('RL-2 a pack without anything new is not relayed', async (t) => {
  const { join } = await open(t)
  const alice = peer(1)
  const [one, two] = [await join('plans', alice), await join('plans', peer(2))]
  const pack = packOf(alice, [alice.write(set('a'))])
  one.send(pack)
  await two.next('pack')
  one.send(pack)
  await one.next('pack-ack')
  await one.next('pack-ack')
  await settle()
  t.equal(packs(two).length, 1)
})

t.test('RL-3 what one turn accepts goes out as one frame', async (t) => {
  const { join } = await open(t)
  const alice = peer(1)
  const [one, two] = [await join('plans', alice), await join('plans', peer(2))]
  for (let i = 0; i < 20; i++) one.send(packOf(alice, [alice.write(set(`k${i}`))]))
  for (let i = 0; i < 20; i++) await one.next('pack-ack')
  await settle()
  const reader = peer(3)
  for (const frame of packs(two)) reader.receive(nodesIn(frame))
  t.equal(reader.root, alice.root)
  t.ok(packs(two).length <= 3, `20 packs in ${packs(two).length} frames`)
  t.equal(packs(two).at(-1)?.root, alice.root, 'the last frame carries the root')
})

t.test('RL-4 a subscriber gets what it asked for and the ancestors that needs, parents first', async (t) => {
  const { join } = await open(t)
  const alice = peer(1)
  const writer = await join('plans', alice)
  const bob = peer(2)
  const reader = await join('plans', bob, { subscribe: ['world/**'] })
  const other = await join('plans', peer(3), { subscribe: ['world/**'] })
  for (const key of ['chat/1', 'chat/2']) writer.send(packOf(alice, [alice.write(set(key))]))
  for (let i = 0; i < 2; i++) await writer.next('pack-ack')
  await settle()
  t.equal(packs(reader).length, 0)
  writer.send(packOf(alice, [alice.write(set('world/x'))]))
  const frame = await reader.next('pack')
  t.equal(bob.receive(nodesIn(frame)).accepted.length, 3)
  t.same(frame, await other.next('pack'), 'serialised once for equal selections')
  writer.send(packOf(alice, [alice.write(set('world/y'))]))
  t.equal(bob.receive(nodesIn(await reader.next('pack'))).accepted.length, 1, 'ancestors are delivered once')
})

t.test('RL-5 subscribe replaces the filter for what comes; the catch-up, request and mst-done are filtered too', async (t) => {
  const { join } = await open(t)
  const alice = peer(1)
  const writer = await join('plans', alice)
  const branches = [peer(11), peer(12)].map((author, i) => author.write(set(i === 0 ? 'chat/1' : 'world/1')))
  writer.send(packOf(alice, branches))
  await writer.next('pack-ack')
  const bob = peer(2)
  const reader = await join('plans', bob, { subscribe: ['world/**'] })
  t.equal(bob.receive(nodesIn(await reader.next('pack'))).accepted.length, 1, 'catch-up')
  reader.send({ type: 'request', known: [...bob.ids()] })
  t.equal((await reader.next('pack')).nodes, 'AA==')
  reader.send({ type: 'request', known: [] })
  t.equal(peer(3).receive(nodesIn(await reader.next('pack'))).accepted.length, 1, 'request')
  reader.send({ type: 'mst-done', ids: branches.map((node) => toHex(node.subarray(0, 32))) })
  t.equal(peer(4).receive(nodesIn(await reader.next('pack'))).accepted.length, 1, 'mst-done')
  reader.send({ type: 'subscribe', patterns: ['chat/*'] })
  t.same(await reader.next('subscribe-ack'), { type: 'subscribe-ack', patterns: ['chat/*'] })
  writer.send(packOf(alice, [peer(13).write(set('world/2')), peer(14).write(set('chat/2'))]))
  t.equal(peer(5).receive(nodesIn(await reader.next('pack'))).accepted.length, 1)
  reader.send({ type: 'subscribe' })
  t.same((await reader.next('subscribe-ack')).patterns, [])
  writer.send(packOf(alice, [peer(15).write(set('any'))]))
  t.equal(peer(6).receive(nodesIn(await reader.next('pack'))).accepted.length, 1)
})

t.test('RL-6 a node accepted during a catch-up is delivered by it, in order, and then the relay takes over', async (t) => {
  const { join } = await open(t, { limit: { frameBytes: 4_000 } })
  const alice = peer(1)
  const writer = await join('plans', alice)
  writer.send(packOf(alice, Array.from({ length: 4_000 }, (_, i) => alice.write(set(`k${i}`, 'x'.repeat(2_000))))))
  await writer.next('pack-ack')
  const bob = peer(2, { verify: false })
  const reader = await join('plans', bob)
  reader.stall()
  await settle()
  for (let i = 0; i < 3; i++) writer.send(packOf(alice, [alice.write(set(`late${i}`))]))
  for (let i = 0; i < 3; i++) await writer.next('pack-ack')
  reader.flow()
  for (let i = 0; i < 400 && bob.size < 4_003; i++) {
    await settle(5)
    for (const frame of packs(reader).splice(0)) bob.receive(nodesIn(frame))
  }
  t.equal(bob.root, alice.root)
  t.equal(bob.orphans, 0)
  t.ok(reader.closed === null, 'a slow catch-up does not count as lagging')
  writer.send(packOf(alice, [alice.write(set('live'))]))
  await writer.next('pack-ack')
  await settle()
  bob.receive(nodesIn(packs(reader).at(-1) as Frame))
  t.equal(bob.root, alice.root)
})

t.test('RL-7 request answers with what is not listed, even when that is nothing; mst-done without ids is not answered', async (t) => {
  const { join } = await open(t)
  const alice = peer(1)
  const nodes = ['a', 'b'].map((key) => alice.write(set(key)))
  const client = await join('plans', alice)
  client.send(packOf(alice, nodes))
  await client.next('pack-ack')
  client.send({ type: 'request', known: [toHex(nodes[0].subarray(0, 32)), 'junk', 7] })
  const frame = await client.next('pack')
  t.match(frame, { from: 'server', root: alice.root })
  t.equal(nodesIn(frame)[0], 1)
  client.send({ type: 'request', known: [...alice.ids()] })
  t.equal((await client.next('pack')).nodes, 'AA==')
  client.send({ type: 'request' })
  t.equal(nodesIn(await client.next('pack'))[0], 2)
  client.send({ type: 'mst-done', ids: ['zz'] })
  client.send({ type: 'mst-done', ids: [toHex(nodes[1].subarray(0, 32)), 'f'.repeat(64)] })
  t.equal(nodesIn(await client.next('pack'))[0], 1)
})

t.test('RL-12 a first request written before the catch-up was imported is not answered with it again', async (t) => {
  const { join } = await open(t)
  const alice = peer(1)
  const nodes = ['a', 'b', 'c'].map((key) => alice.write(set(key)))
  const writer = await join('plans', alice)
  writer.send(packOf(alice, nodes))
  await writer.next('pack-ack')
  const early = await join('plans', peer(2, { nodes: nodes.slice(0, 1) }))
  t.equal(nodesIn(await early.next('pack'))[0], 2, 'the catch-up')
  const known = [toHex(nodes[0].subarray(0, 32))]
  early.send({ type: 'request', known })
  t.equal((await early.next('pack')).nodes, 'AA==')
  early.send({ type: 'request', known })
  t.equal(nodesIn(await early.next('pack'))[0], 2, 'a later one is taken at its word')
  const lost = await join('plans', peer(3, { nodes: nodes.slice(0, 1) }))
  await lost.next('pack')
  lost.send({ type: 'request', known: [nodes[0], nodes[2]].map((node) => toHex(node.subarray(0, 32))) })
  t.equal(nodesIn(await lost.next('pack'))[0], 1, 'a list that holds some of the catch-up was written after it')
})

t.test('RL-8 mst-request is answered in the order asked, without what does not exist', async (t) => {
  const { join } = await open(t)
  const alice = peer(1)
  const client = await join('plans', alice)
  client.send(packOf(alice, Array.from({ length: 20 }, (_, i) => alice.write(set(`k${i}`)))))
  await client.next('pack-ack')
  client.send({ type: 'mst-request', paths: ['', 'xyz', 5, 'ffffffff'] })
  const answer = await client.next('mst-response')
  t.match(answer.nodes, [{ path: '', keys: [] }])
  t.equal((answer.nodes as object[]).length, 1)
  client.send({ type: 'mst-request' })
  t.same((await client.next('mst-response')).nodes, [])
})

t.test('RL-9 a reader that stops is closed with 4001 and costs the others nothing', async (t) => {
  const { join, clock } = await open(t, { limit: { outboxFrames: 4, messagesPerSecond: 0 } })
  const alice = peer(1)
  const writer = await join('plans', alice)
  const stuck = await join('plans', peer(2))
  const fine = await join('plans', peer(3))
  stuck.stall()
  for (let i = 0; i < 8; i++) {
    writer.send(packOf(alice, [alice.write(set(`k${i}`))]))
    await writer.next('pack-ack')
    await settle(5)
  }
  t.same(await stuck.ended(), { code: 4001, reason: 'resync required' })
  await settle()
  const reader = peer(4)
  for (const frame of packs(fine)) reader.receive(nodesIn(frame))
  t.equal(reader.root, alice.root)
  t.equal((await fine.next('peer-left')).from, peer(2).key, 'it is deregistered')
  clock.advance(6_000)
  t.ok(stuck.terminated)
})

t.test('RL-10 a write that is not taken within five seconds closes with 1011', async (t) => {
  const { join, clock } = await open(t)
  const alice = peer(1)
  const client = await join('plans', alice)
  client.stall()
  client.send({ type: 'server-info' })
  await settle()
  clock.advance(5_000)
  t.equal(client.closed, null)
  clock.advance(2_000)
  t.same(client.closed, { code: 1011, reason: 'server overload' })
})

t.test('RL-11 a client that sends faster than it is served is paused, not buffered without end', async (t) => {
  const store = faultyNodeStore(memoryNodes())
  const { join } = await open(t, { store, limit: { packsInFlight: 2, inboxBytes: 1_000 } })
  const alice = peer(1)
  const client = await join('plans', alice)
  const release = store.faults.hold('append')
  for (let i = 0; i < 20; i++) client.send(packOf(alice, [alice.write(set(`k${i}`))]))
  await settle()
  t.ok(client.paused)
  release()
  for (let i = 0; i < 20; i++) await client.next('pack-ack')
  t.notOk(client.paused)
})

t.test('PR-1 presence goes to everybody else as it is, and null clears', async (t) => {
  const { join } = await open(t)
  const alice = peer(1)
  const [one, two] = [await join('plans', alice), await join('plans', peer(2))]
  one.send({ type: 'presence', data: { cursor: [1, 2] } })
  t.same(await two.next('presence'), { type: 'presence', from: alice.key, data: { cursor: [1, 2] } })
  one.send({ type: 'presence' })
  t.equal((await two.next('presence')).data, null)
  t.notOk(types(one).includes('presence'))
})

t.test('PR-2 the four lease faults have their published texts and keep the session', async (t) => {
  const { join } = await open(t)
  const client = await join('plans', peer(1))
  const faults: Array<[object, string]> = [
    [{ ttl_ms: null }, 'ttl_ms_must_be_positive_u64'],
    [{ ttl_ms: 0, now_unix_ms: 'x' }, 'ttl_ms_must_be_positive_u64'],
    [{ ttl_ms: 5, now_unix_ms: -1 }, 'now_unix_ms_must_be_u64'],
    [{ ttl_ms: 5 }, 'ttl_ms_requires_now_unix_ms'],
    [{ now_unix_ms: 5 }, 'now_unix_ms_requires_ttl_ms']
  ]
  for (const [fields, text] of faults) {
    client.send({ type: 'presence', data: 1, ...fields })
    t.match(await client.next('error'), { msg: `reject.presence_lease_invalid:${text}`, code: 'reject.presence_lease_invalid' })
  }
  t.equal(client.closed, null)
})

t.test('PR-3 presence-set says who and whether it is new; presence-get lists; leases end by the server clock; leaving says so', async (t) => {
  const { join, clock } = await open(t)
  const alice = peer(1)
  const [one, two] = [await join('plans', alice), await join('plans', peer(2))]
  one.send({ type: 'presence-set', data: 'here', ttl_ms: 5_000, now_unix_ms: 1 })
  t.match(await two.next('presence'), { room: 'plans', session_id: one.session.id, joined: true, data: 'here' })
  one.send({ type: 'presence-set', data: 'still', ttl_ms: 5_000, now_unix_ms: 1 })
  t.match(await two.next('presence'), { joined: false })
  two.send({ type: 'presence-get' })
  t.match((await two.next('presence-snapshot')).entries, [{ session_id: one.session.id, from: alice.key, from_peer_pubkey: alice.key, peerId: alice.key, data: 'still' }])
  two.send({ type: 'presence-sweep', now_unix_ms: 9e15 })
  two.send({ type: 'presence-get' })
  t.equal(((await two.next('presence-snapshot')).entries as object[]).length, 1, "one client's clock sweeps nobody")
  clock.advance(6_000)
  t.match(await two.next('presence-leave'), { room: 'plans', session_id: one.session.id, from: alice.key, reason: 'stale' })
  one.send({ type: 'presence', data: 1 })
  await two.next('presence')
  one.leave()
  t.match(await two.next('presence-leave'), { reason: 'leave' })
})

t.test('PR-4 presence that is too large, and too many messages, are refused softly', async (t) => {
  const { join } = await open(t, { limit: { presenceBytes: 100, messagesPerSecond: 3 } })
  const client = await join('plans', peer(1))
  client.send({ type: 'presence', data: 'x'.repeat(101) })
  t.equal((await client.next('error')).code, 'reject.protocol_message_too_large')
  for (let i = 0; i < 4; i++) client.send({ type: 'server-info' })
  t.equal((await client.next('error')).code, 'reject.rate_limit_messages')
  t.equal(client.closed, null)
})

t.test('PR-5 signalling reaches the addressed peer with every field untouched and from set by the server', async (t) => {
  const { join } = await open(t)
  const [alice, bob, carol] = [peer(1), peer(2), peer(3)]
  const [one, two, three] = [await join('plans', alice), await join('plans', bob, { peer_id: 'bob' }), await join('plans', carol)]
  one.send({ type: 'webrtc-offer', to: bob.key, from: 'forged', sdp: { type: 'offer', sdp: 'v=0' }, extra: [1] })
  t.same(await two.next('webrtc-offer'), { type: 'webrtc-offer', to: bob.key, from: alice.key, sdp: { type: 'offer', sdp: 'v=0' }, extra: [1] })
  one.send({ type: 'webrtc-answer', to: 'bob', sdp: 'x' })
  await two.next('webrtc-answer')
  one.send({ type: 'webrtc-ice', candidate: 'c', sdpMid: '0' })
  t.match(await two.next('webrtc-ice'), { candidate: 'c', sdpMid: '0', from: alice.key })
  await three.next('webrtc-ice')
  t.notOk(types(three).includes('webrtc-offer') || types(three).includes('webrtc-answer') || types(one).includes('webrtc-ice'))
})

const blobOf = (text: string): { hash: string, data: string } =>
  ({ hash: toHex(blake3.hash(Buffer.from(text))), data: Buffer.from(text).toString('base64') })

t.test('BW-1 an upload is stored, announced to everybody, and served to the room', async (t) => {
  const { join } = await open(t)
  const [one, two] = [await join('plans', peer(1)), await join('plans', peer(2))]
  const blob = blobOf('picture')
  one.send({ type: 'blob-upload', blobs: [blob, { hash: blobOf('x').hash.toUpperCase(), data_b64: blobOf('x').data }] })
  for (const client of [one, two]) t.same((await client.next('blob-available')).hashes, [blob.hash, blobOf('x').hash])
  two.send({ type: 'blob-request', hashes: [blob.hash.toUpperCase(), 'f'.repeat(64), 'junk'] })
  t.same(await two.next('blob-pack'), {
    type: 'blob-pack',
    blobs: [{ hash: blob.hash.toUpperCase(), data: blob.data }],
    requested: [blob.hash.toUpperCase(), 'f'.repeat(64), 'junk']
  })
  two.send({ type: 'blob-request' })
  t.same(await two.next('blob-pack'), { type: 'blob-pack', blobs: [], requested: [] })
})

t.test('BW-2 what does not hash to its name, or cannot be read, is refused and told; a repeat is cheap', async (t) => {
  const { join } = await open(t, { limit: { blobSocketBytes: 64 } })
  const client = await join('plans', peer(1))
  const blob = blobOf('picture')
  const bad: Array<[object, string]> = [
    [{ hash: blob.hash, data: blobOf('other').data }, 'reject.blob_hash_mismatch'],
    [{ hash: 'nope', data: blob.data }, 'reject.blob_hash_invalid'],
    [{ hash: blob.hash, data: '%%' }, 'reject.protocol_invalid_message'],
    [{ hash: blob.hash, data: 'A'.repeat(200) }, 'reject.blob_too_large']
  ]
  for (const [entry, code] of bad) {
    client.send({ type: 'blob-upload', blobs: [entry] })
    t.equal((await client.next('error')).code, code)
  }
  client.send({ type: 'blob-upload', blobs: 'x' })
  for (let i = 0; i < 2; i++) {
    client.send({ type: 'blob-upload', blobs: [blob] })
    t.same((await client.next('blob-available')).hashes, [blob.hash])
  }
})

t.test('BW-3 a blob is served only in a room that names it or where it was uploaded, unless reading is global', async (t) => {
  for (const globalBlobs of [false, true]) {
    const { join } = await open(t, { globalBlobs })
    const alice = peer(1)
    const blob = blobOf('secret')
    const [here, there] = [await join('here', alice), await join('there', peer(2))]
    here.send({ type: 'blob-upload', blobs: [blob] })
    await here.next('blob-available')
    there.send({ type: 'blob-request', hashes: [blob.hash] })
    t.equal(((await there.next('blob-pack')).blobs as object[]).length, globalBlobs ? 1 : 0)
    there.send(packOf(alice, [peer(3).write([{ type: 'map-set-blob', key: 'pic', hash: Buffer.from(blob.hash, 'hex') }])]))
    await there.next('pack-ack')
    there.send({ type: 'blob-request', hashes: [blob.hash] })
    t.equal(((await there.next('blob-pack')).blobs as object[]).length, 1, 'named by a node of the room')
  }
})

t.test('BW-4 large answers come in several frames whose requested lists divide the question', async (t) => {
  const { join } = await open(t, { limit: { blobPackBytes: 10, blobRequestHashes: 3 } })
  const client = await join('plans', peer(1))
  const blobs = ['first-blob', 'second-blob', 'third'].map(blobOf)
  client.send({ type: 'blob-upload', blobs })
  await client.next('blob-available')
  client.send({ type: 'blob-request', hashes: [...blobs.map(({ hash }) => hash), 'beyond the bound'] })
  const frames = [await client.next('blob-pack'), await client.next('blob-pack'), await client.next('blob-pack')]
  t.same(frames.flatMap(({ requested }) => requested), blobs.map(({ hash }) => hash))
})

t.test('BW-5 direct transfers: not negotiated without an offer; use-ws when the store cannot presign; confirmed only if there', async (t) => {
  const { join } = await open(t)
  const without = await join('plans', peer(1), { caps: { supports_direct_blob_io: false } })
  for (const type of ['request-upload', 'blob-uploaded']) {
    without.send({ type, hash: 'a'.repeat(64) })
    t.equal((await without.next('error')).msg, `${type} not negotiated`)
  }
  const client = await join('plans', peer(2))
  for (const type of ['request-upload', 'blob-uploaded']) {
    client.send({ type, hash: 'zz' })
    t.equal((await client.next('error')).msg, `${type}: bad hash`)
  }
  const blob = blobOf('x')
  client.send({ type: 'request-upload', hash: blob.hash, size: 5 })
  t.same(await client.next('upload-denied'), { type: 'upload-denied', hash: blob.hash, reason: 'use-ws' })
  client.send({ type: 'blob-uploaded', hash: blob.hash })
  t.match(await client.next('upload-rejected'), { hash: blob.hash })
})

t.test('BW-6 with a presigning store: grants, redirects, and never the same redirect to somebody whose download failed', async (t) => {
  const base = memoryBlobs()
  const expiresAt = new Date(1_800_000_000_000)
  const blobs = {
    ...base,
    manifest: { ...base.manifest, presign: true },
    presign: async (op: string, hash: string, about: { contentType?: string }) => ({ url: `https://x/${op}/${hash}?${about.contentType ?? ''}`, expiresAt }),
    verifyUploaded: async (hash: string) => await base.stat(hash) === null ? { ok: false as const, reason: 'object not found' } : { ok: true as const, size: 1 }
  }
  const { join, clock } = await open(t, { blobs })
  const client = await join('plans', peer(1))
  t.equal((client.frames[0].caps as Record<string, boolean>).supports_direct_blob_io, true)
  const blob = blobOf('x')
  client.send({ type: 'request-upload', hash: blob.hash, size: 1, content_type: 'image/png' })
  t.same(await client.next('upload-granted'), {
    type: 'upload-granted', hash: blob.hash, url: `https://x/put/${blob.hash}?image/png`, expires_at_unix: 1_800_000_000
  })
  client.send({ type: 'blob-uploaded', hash: blob.hash })
  t.equal((await client.next('upload-rejected')).reason, 'object not found')
  client.send({ type: 'blob-upload', blobs: [blob] })
  await client.next('blob-available')
  client.send({ type: 'blob-uploaded', hash: blob.hash })
  t.same((await client.next('blob-available')).hashes, [blob.hash])
  const ask = async (): Promise<Frame> => {
    client.send({ type: 'blob-request', hashes: [blob.hash] })
    return client.next('blob-pack')
  }
  t.same(await ask(), { type: 'blob-pack', blobs: [], requested: [] })
  t.match(await client.next('blob-redirect'), { redirects: [{ hash: blob.hash, url: `https://x/get/${blob.hash}?` }] })
  for (const expected of [1, 1, 0]) t.equal(((await ask()).blobs as object[]).length, expected)
  clock.advance(61_000)
  t.same((await ask()).requested, [], 'a minute later a redirect is worth another try')
})

t.test('BW-7 the host may refuse blobs; uploads have a byte rate', async (t) => {
  const { join } = await open(t, {
    authorize: (_asker, action) => action.type === 'blob' && action.op === 'write' ? { refused: 'read only' } : true
  })
  const client = await join('plans', peer(1))
  client.send({ type: 'blob-upload', blobs: [blobOf('x')] })
  t.match(await client.next('error'), { msg: 'read only', code: 'reject.path_scope_forbidden' })
  client.send({ type: 'request-upload', hash: blobOf('x').hash })
  t.match(await client.next('error'), { msg: 'read only' })
  const slow = await open(t, { limit: { blobBytesPerSecond: 1, messageBytes: 10 } })
  const other = await slow.join('plans', peer(1))
  other.send({ type: 'blob-upload', blobs: [blobOf('123456789'), blobOf('abcdefghi')] })
  t.equal((await other.next('error')).code, 'reject.rate_limit_bytes')
  const deaf = await open(t, { authorize: (_asker, action) => action.type === 'blob' && action.op === 'read' ? { refused: 'write only' } : true })
  const writer = await deaf.join('plans', peer(1))
  writer.send({ type: 'blob-upload', blobs: [blobOf('x')] })
  await writer.next('blob-available')
  writer.send({ type: 'blob-request', hashes: [blobOf('x').hash] })
  t.same((await writer.next('blob-pack')).blobs, [])
})

async function admin (t: Parameters<typeof createTestServer>[0], caps: string[], overrides: Parameters<typeof createTestServer>[1] = {}) {
  const operator = createSigner(new Uint8Array(32).fill(5))
  const made = await open(t, { operatorKey: operator.publicKey, ...overrides })
  const alice = peer(1)
  const token = mintToken({ room: 'plans', peer: alice.publicKey, expiry: Math.floor(made.clock.now() / 1000) + 600, caps }, operator)
  return { ...made, alice, operator, client: await made.join('plans', alice, { token }) }
}

t.test('AD-1 commands need their capability; the refusal is byte-exact', async (t) => {
  const { join } = await open(t)
  const client = await join('plans', peer(1))
  for (const [command, capability] of [['set-room-key', 'room.admin'], ['set-policy', 'policy.admin']]) {
    client.send({ type: command })
    t.match(await client.next('error'), {
      msg: `reject.control_plane_forbidden: command=${command} requires=${capability}`,
      code: 'reject.control_plane_forbidden',
      reason_class: 'reject.control_plane_forbidden',
      command,
      required_capability: capability,
      status: 403
    })
  }
})

t.test('AD-2 an operator locks an open room; sessions without a token are asked to come back with one; the lock survives', async (t) => {
  const { server, client, join } = await admin(t, ['room.admin'])
  const plain = await join('plans', peer(2))
  const key = toHex(createSigner(new Uint8Array(32).fill(6)).publicKey)
  client.send({ type: 'set-room-key', pubkey: 'junk' })
  t.equal((await client.next('error')).msg, 'set-room-key: invalid pubkey hex')
  client.send({ type: 'set-room-key', pubkey: '01' + '00'.repeat(31) })
  t.equal((await client.next('error')).msg, 'set-room-key: invalid pubkey hex', 'a key of small order')
  client.send({ type: 'set-room-key', pubkey: key })
  t.same(await client.next('room-locked'), { type: 'room-locked', pubkey: key })
  t.equal((await server.store.state('plans'))?.key, key)
  t.equal((await plain.ended()).code, 4002)
  client.send({ type: 'set-room-key', pubkey: key })
  t.match(await client.next('error'), { msg: 'room already locked' })
})

t.test('AD-3 set-policy is checked, durable before it is confirmed, and in force at once', async (t) => {
  const store = faultyNodeStore(memoryNodes())
  const { client, alice, server } = await admin(t, ['policy.admin'], { store })
  const faults: Array<[object, string]> = [
    [{ default: 'maybe' }, "set-policy: unknown default 'maybe', use 'allow' or 'deny'"],
    [{ rules: [{}] }, "set-policy: each rule must have a 'path_glob' string"],
    [{ rules: [{ path_glob: 'x', can_write: ['zz'] }] }, "set-policy: invalid pubkey hex 'zz'"],
    [{ rules: [{ path_glob: 'x', can_write: [5] }] }, "set-policy: invalid pubkey hex ''"]
  ]
  for (const [fields, text] of faults) {
    client.send({ type: 'set-policy', ...fields })
    t.equal((await client.next('error')).msg, text)
  }
  store.faults.fail('putState')
  client.send({ type: 'set-policy', default: 'deny' })
  t.match(await client.next('error'), { code: 'reject.store_unavailable', retry: true })
  t.equal(await server.store.state('plans'), null)
  client.send({ type: 'set-policy', default: 'deny', rules: [{ path_glob: 'mine/**', can_write: [alice.key] }, { path_glob: 'nobody' }] })
  await client.next('policy-set')
  t.match(await server.store.state('plans'), { timeline: [{ effectiveLamport: 0 }, { effectiveLamport: 1, policy: { default: 'deny' } }] })
  client.send(packOf(alice, [alice.write(set('mine/x'))]))
  t.equal((await client.next('pack-ack')).accepted_count, 1)
  client.send(packOf(alice, [alice.write(set('yours'))]))
  t.equal((await client.next('error')).code, 'reject.policy_violation')
  client.send({ type: 'set-policy' })
  await client.next('policy-set')
})

t.test('AD-4 a token of somebody else is not looked at in an open room; the operator may enter a locked one', async (t) => {
  const { server, join, clock, operator, alice } = await admin(t, ['room.admin'])
  const stranger = createSigner(new Uint8Array(32).fill(9))
  const expiry = Math.floor(clock.now() / 1000) + 60
  const client = await join('plans', alice, { token: mintToken({ room: 'plans', peer: alice.publicKey, expiry, caps: ['room.admin'] }, stranger) })
  t.equal(client.session.terms.capabilities.size, 0)
  t.equal(client.session.terms.expiresAt, null)
  await (await server.rooms.open('plans')).lock(toHex(stranger.publicKey))
  const again = await join('plans', alice, { token: mintToken({ room: 'plans', peer: alice.publicKey, expiry, caps: ['policy.admin'] }, operator) })
  t.ok(again.session.terms.capabilities.has('policy.admin'))
})

t.test('AD-5 the host may refuse commands and reading', async (t) => {
  const { client } = await admin(t, ['policy.admin'], {
    authorize: (_asker, action) => action.type === 'command' || (action.type === 'read' && action.patterns.includes('secret/**')) ? { refused: 'not now' } : true
  })
  client.send({ type: 'set-policy' })
  t.match(await client.next('error'), { code: 'reject.control_plane_forbidden', msg: 'not now' })
  client.send({ type: 'subscribe', patterns: ['secret/**'] })
  t.match(await client.next('error'), { code: 'reject.path_scope_forbidden', msg: 'not now' })
})

t.test('RM-1 many joins share one load; an idle room leaves memory only with a durable store, and comes back whole', async (t) => {
  const store = faultyNodeStore({ ...memoryNodes(), manifest: { name: 'x', durable: true, shared: false } })
  const { server, clock, join, connect } = await open(t, { store })
  const release = store.faults.hold('load')
  const joins = [connect(), connect()].map((client) => client.hello())
  await store.faults.held('load')
  release()
  await Promise.all(joins)
  t.equal(store.faults.calls('load'), 1)
  const alice = peer(1)
  const writer = await join('plans', alice)
  writer.send(packOf(alice, [alice.write(set('a'))]))
  await writer.next('pack-ack')
  await (await server.rooms.open('plans')).lock(toHex(createSigner(new Uint8Array(32).fill(6)).publicKey))
  for (const session of [...server.rooms.sessions()]) session.ended()
  clock.advance(299_000)
  t.ok(server.rooms.resident('plans'))
  clock.advance(3_000)
  t.notOk(server.rooms.resident('plans'))
  const back = await server.rooms.open('plans')
  t.equal(back.dag.size, 1)
  t.not(back.state.key, null, 'the lock came back with it')
  const volatile = await open(t)
  const visitor = await volatile.join('x', peer(3))
  visitor.send(packOf(alice, [peer(4).write(set('b'))]))
  await visitor.next('pack-ack')
  await volatile.server.rooms.open('empty')
  visitor.leave()
  volatile.clock.advance(1_000_000)
  t.ok(volatile.server.rooms.resident('x'))
  t.notOk(volatile.server.rooms.resident('empty'), 'a room that was merely looked at goes all the same')
})

t.test('RM-2 draining commits what is under way, answers it, and closes with 1012; nobody new is let in', async (t) => {
  const store = faultyNodeStore(memoryNodes())
  const { server, join, connect } = await open(t, { store })
  const alice = peer(1)
  const client = await join('plans', alice)
  const release = store.faults.hold('append')
  client.send(packOf(alice, [alice.write(set('a'))]))
  await store.faults.held('append')
  const drained = server.rooms.drain()
  t.ok(client.paused)
  release()
  await drained
  t.same(client.closed, { code: 1012, reason: 'server restarting' })
  t.ok(types(client).includes('pack-ack'))
  t.equal(connect().closed?.code, 1012)
  await server.rooms.drain()
})

t.test('RM-3 a stuck reader does not hold up the drain', async (t) => {
  const { server, clock, join } = await open(t)
  const client = await join('plans', peer(1))
  client.stall()
  client.send({ type: 'server-info' })
  await settle()
  const drained = server.rooms.drain()
  await settle()
  clock.advance(1_000)
  await drained
  t.equal(client.closed?.code, 1012)
})

t.test('RM-4 a session that leaves in the middle of anything leaves nothing behind', async (t) => {
  const store = faultyNodeStore(memoryNodes())
  const { server, join, connect } = await open(t, { store })
  const alice = peer(1)
  const release = store.faults.hold('load')
  const opening = connect()
  opening.send({ type: 'hello', pubkey: 'p' })
  await store.faults.held('load')
  opening.leave()
  release()
  await settle()
  const client = await join('plans', alice)
  const held = store.faults.hold('append')
  client.send(packOf(alice, [alice.write(set('a'))]))
  client.send({ type: 'presence', data: 1 })
  await store.faults.held('append')
  client.leave()
  client.leave()
  client.send({ type: 'server-info' })
  held()
  await settle()
  const room = await server.rooms.open('plans')
  t.equal(room.sessions.size, 0)
  t.same(room.members.others(''), [])
  t.same(room.presence.entries(), [])
  t.equal(server.rooms.sessions().size, 0)
  t.equal(room.dag.size, 1, 'what was sent before it left is kept')
  t.throws(() => opening.session.terms, { code: 'reject.internal' })
  t.throws(() => opening.session.source, { code: 'reject.internal' })
})
