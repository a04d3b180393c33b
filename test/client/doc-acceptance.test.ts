import t from 'tap'
import { createRoomCipher } from '../../lib/client/encryption.js'
import { type Doc, memoryStorage } from '../../lib/client/index.js'
import { seeded } from '../plugin/host.js'
import { until } from './doc-rig.js'
import { type Arena, everywhere } from './doc-servers.js'

/** The client's part of the acceptance list of spec/client.md §12. */

const PATIENCE = { timeout: 1_000_000 }

/** A history of a writer of its own. */
async function fill (arena: Arena, room: string, count: number): Promise<void> {
  const writer = await arena.doc({ room })
  for (let i = 0; i < count; i++) writer.map('filled').set(`k${i}`, i)
  await writer.flush(PATIENCE)
  await writer.close()
}

async function rest (...docs: Doc[]): Promise<void> {
  for (const doc of docs) {
    await doc.flush(PATIENCE)
    await doc.whenSynced(PATIENCE)
  }
}

everywhere(t, 'DO-60 whoever joins with anything of its own, both sides hold the same nodes, and little is sent', async (t, arena) => {
  for (const theirs of [0, 60]) {
    for (const mine of [0, 1, 26, 27, theirs === 0 ? 300 : 10_000]) {
      const room = `join ${theirs}/${mine}`
      await fill(arena, room, theirs)
      const storage = memoryStorage()
      const first = await arena.doc({ room, storage })
      await first.whenSynced(PATIENCE)
      first.disconnect()
      for (let i = 0; i < mine; i++) first.map('mine').set(`k${i}`, i)
      await first.saved()
      await first.close()
      await fill(arena, room, theirs)
      const before = { ...arena.traffic }
      const doc = await arena.doc({ room, storage })
      await rest(doc)
      const up = arena.traffic.up - before.up
      const down = arena.traffic.down - before.down
      t.equal((await arena.ids(room)).length, 2 * theirs + mine, `${room}: the server has everything`)
      t.equal(doc.map('mine').size, mine)
      t.equal(doc.map('filled').size, theirs)
      t.ok(up < 2500 + mine * 2 * 350, `${room}: ${up} characters up`)
      t.ok(down < 3000 + (2 * theirs + mine) * 350 + mine * 250, `${room}: ${down} characters down`)
      await doc.close()
      const quiet = { ...arena.traffic }
      const again = await arena.doc({ room, storage })
      await again.whenSynced(PATIENCE)
      t.equal(arena.traffic.packs - quiet.packs, 0, `${room}: nothing is sent again`)
      await again.close()
    }
  }
})

everywhere(t, 'DO-61 a line through the middle of a history brings both halves together', async (t, arena) => {
  const room = 'a room/with #everything?'
  const [a, b] = [await arena.doc({ room }), await arena.doc({ room })]
  await rest(a, b)
  for (let round = 0; round < 3; round++) {
    a.disconnect()
    b.disconnect()
    for (let i = 0; i < 40; i++) {
      a.text('t').insert(0, 'a')
      b.text('t').insert(0, 'b')
      a.map('m').set(`a${i}`, round)
      b.map('m').set(`b${i}`, round)
    }
    a.connect()
    b.connect()
    await rest(a, b)
    await until(a, () => a.text('t').length === 80 * (round + 1), 'all of it')
    await until(b, () => b.text('t').length === 80 * (round + 1), 'all of it')
  }
  t.equal(a.text('t').toString(), b.text('t').toString())
  t.same(a.map('m').all(), b.map('m').all())
  t.equal(a.map('m').size, 80)
})

everywhere(t, 'DO-62 values travel between our documents and both kinds of original clients', async (t, arena) => {
  const room = 'values'
  const doc = await arena.doc({ room })
  await doc.whenSynced(PATIENCE)
  const [d, r] = [arena.d(room), arena.r(room)]
  d.connect()
  r.connect()
  await d.until(() => d.isConnected() && d.inbound.some(({ type }) => type === 'welcome'), 'a welcome')
  await r.until(() => r.inbound.some(({ type }) => type === 'welcome'), 'a welcome')
  const values = { object: { a: [1, 'ä', null, true] }, text: 'plain', number: -1.5, nothing: null, no: false, emoji: '😀' }
  for (const [key, value] of Object.entries(values)) d.set(`d/${key}`, value)
  d.set('d/gone', 1)
  d.delete('d/gone')
  d.insertText('d/body', 'grüße 😀')
  d.push('d/list', { done: false })
  const image = d.setBlob('d/image', Uint8Array.of(1, 2, 3))
  r.set('r/word', 'not JSON')
  r.set('r/json', '{"a":1}')
  r.insertText('r/body', 'runtime')
  r.push()
  doc.map('o').setAll(values)
  doc.map('o').set('raw', 'for the runtime client', { encoding: 'utf8' })
  doc.text('o/body').insert(0, 'ours 😀')
  doc.list('o/list').push({ done: true })
  await doc.map('o').setBlob('image', Uint8Array.of(4, 5, 6))
  await doc.flush(PATIENCE)
  await until(doc, () => doc.text('r/body').length === 7 && doc.list('d/list').length === 1 && doc.map('d').blob('image') !== undefined, 'what they wrote')
  t.same(doc.map('d').all(), { ...values, image: { hash: image } })
  t.equal(doc.text('d/body').toString(), 'grüße 😀')
  t.same(doc.list('d/list').toArray().map(({ content }) => content), [{ done: false }])
  t.same(doc.map('r').all(), { word: 'not JSON', json: { a: 1 } })
  t.same(await doc.map('d').getBlob('image'), Uint8Array.of(1, 2, 3))
  const held = await arena.ids(room)
  for (const client of [d, r]) {
    await client.until(() => client.store.size === held.length, 'everything')
    t.same(client.store.ids().sort(), held)
    t.equal(client.store.dropped, 0)
    t.same(client.errors, [])
  }
  const second = await arena.doc({ room })
  await second.whenSynced(PATIENCE)
  t.same(second.map('o').all(), doc.map('o').all())
  t.same({ ...second.map('o').all(), image: undefined }, { ...values, raw: 'for the runtime client', image: undefined })
  t.equal(second.text('o/body').toString(), 'ours 😀')
})

everywhere(t, 'DO-63 fifty that append to an empty list, then insert and move between ties, come to one order', async (t, arena) => {
  const random = seeded(7)
  const docs = await Promise.all(Array.from({ length: 50 }, (_, i) => arena.doc({ room: 'ties', connect: false, identity: new Uint8Array(32).fill(i + 1) })))
  for (const [i, doc] of docs.entries()) doc.list('l').push(i)
  for (const doc of docs) doc.connect()
  await Promise.all(docs.map((doc) => rest(doc)))
  await Promise.all(docs.map((doc) => until(doc, () => doc.list('l').length === 50, 'fifty')))
  const order = docs[0].list('l').ids()
  for (const doc of docs) t.same(doc.list('l').ids(), order)
  for (const [i, doc] of docs.slice(0, 10).entries()) {
    const list = doc.list('l')
    list.insert(random(list.length), 100 + i)
    list.move(list.ids()[random(list.length)], random(list.length))
  }
  await Promise.all(docs.map((doc) => rest(doc)))
  await Promise.all(docs.map((doc) => until(doc, () => doc.list('l').length === 60, 'sixty')))
  const [first] = docs
  first.map('end').set('k', 1)
  await first.flush(PATIENCE)
  await Promise.all(docs.map((doc) => until(doc, () => doc.map('end').size === 1, 'the end')))
  for (const doc of docs) t.same(doc.list('l').toArray(), first.list('l').toArray())
})

everywhere(t, 'DO-64 an encrypted room passes through any server, and a wrong key leaves other nodes intact', async (t, arena) => {
  const key = (byte: number): ReturnType<typeof createRoomCipher> => createRoomCipher(new Uint8Array(32).fill(byte))
  const room = 'secret'
  const [a, b, stranger] = [await arena.doc({ room, encryption: key(1) }), await arena.doc({ room, encryption: key(1) }), await arena.doc({ room, encryption: key(2) })]
  await rest(a, b, stranger)
  a.map('m').set('k', 'hidden')
  a.text('t').insert(0, 'words')
  a.list('l').push('item')
  stranger.map('m').set('other', 1)
  await rest(a, stranger)
  await until(b, () => b.list('l').length === 1 && b.text('t').length === 5, 'all of it')
  b.text('t').insert(5, '!')
  await rest(b)
  await until(a, () => a.text('t').length === 6, 'the answer')
  t.same(a.map('m').all(), { k: 'hidden' })
  t.same(stranger.map('m').all(), { other: 1 })
  t.equal((await arena.ids(room)).length, 5)
})

everywhere(t, 'DO-65 of a hundred writes a denied one is taken out, and the other ninety-nine arrive', async (t, arena) => {
  const room = 'denied'
  await arena.deny(room, 'forbidden/**')
  const doc = await arena.doc({ room })
  const seen: unknown[] = []
  doc.on('rejection', (rejection) => { seen.push(rejection) })
  for (let i = 0; i < 100; i++) {
    if (i === 50) doc.map('forbidden').set('k', 1)
    else doc.map('fine').set(`k${i}`, i)
  }
  await until(doc, () => seen.length === 1, 'the refusal')
  await rest(doc)
  t.match(seen, [{ code: 'reject.policy_violation', message: /./, ops: [{ key: 'forbidden/k' }], reauthored: Number }])
  const other = await arena.doc({ room })
  await other.whenSynced(PATIENCE)
  t.equal(other.map('fine').size, 99)
  t.equal(other.map('forbidden').size, 0)
  t.equal((await arena.ids(room)).length, 99)
  t.equal(doc.map('forbidden').size, 0)
})

everywhere(t, 'DO-66 what one takes back stays taken back beside what another writes', async (t, arena) => {
  const room = 'undo'
  const [a, b] = [await arena.doc({ room }), await arena.doc({ room })]
  await rest(a, b)
  a.text('t').insert(0, 'hello world')
  a.map('m').set('k', 'before')
  const item = a.list('l').push('kept')
  await rest(a)
  await until(b, () => b.list('l').length === 1, 'the start')
  const undo = a.undoManager({ captureTimeout: 0 })
  a.text('t').delete(0, 6)
  a.map('m').set('k', 'after')
  a.list('l').delete(item)
  a.list('l').push('gone')
  b.text('t').insert(b.text('t').length, '!')
  b.map('m').set('other', 1)
  b.list('l').push('beside')
  await rest(a, b)
  while (undo.undo());
  await rest(a, b)
  a.map('m').set('end', 1)
  await rest(a)
  await until(b, () => b.map('m').get('end') === 1 && b.text('t').length === 12, 'the end')
  await until(a, () => a.text('t').length === 12 && a.list('l').length === 2, 'the end')
  for (const doc of [a, b]) {
    t.equal(doc.text('t').toString(), 'hello world!')
    t.same(doc.map('m').all(), { k: 'before', other: 1, end: 1 })
    t.same(doc.list('l').toArray().map(({ content }) => content).sort(), ['beside', 'kept'])
  }
})
