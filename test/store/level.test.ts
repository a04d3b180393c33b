import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import t, { type Test } from 'tap'
import { checkSpace, levelFolder } from '../../lib/store/level-folder.js'
import { FORMAT_KEY, headKey, nodeKeys, seqBytes, stateKey } from '../../lib/store/level-keys.js'
import { levelNodes } from '../../lib/store/level.js'
import type { NodeStore } from '../../lib/store/node-store.js'
import { allRooms, appendTo, loadAll, sameNodes } from '../../lib/testing/node-store-rule.js'
import { sampleNode, sampleNodes } from '../../lib/testing/sample-nodes.js'

type Raw = ClassicLevel<Uint8Array, Uint8Array>
const text = (value: string): Uint8Array => new TextEncoder().encode(value)

/** Works on the database of a closed store. */
async function raw (path: string, work: (db: Raw) => Promise<void>): Promise<void> {
  const db: Raw = new ClassicLevel(path, { keyEncoding: 'view', valueEncoding: 'view', compression: false })
  await db.open()
  await work(db)
  await db.close()
}

/** A store that `fill` has written to, closed again. */
async function filled (path: string, fill: (store: NodeStore) => Promise<unknown>): Promise<void> {
  const store = levelNodes({ path })
  await store.open()
  await fill(store)
  await store.close()
}

/** What loads, and what is reported, of a room after its database was changed. */
async function readings (path: string, room: string, after = 0): Promise<{ nodes: Uint8Array[], damaged: number[], lasts: number[] }> {
  const store = levelNodes({ path })
  await store.open()
  const found = { nodes: [] as Uint8Array[], damaged: [] as number[], lasts: [] as number[] }
  for await (const { nodes, last } of store.load(room, after, (seq) => found.damaged.push(seq))) {
    found.nodes.push(...nodes)
    found.lasts.push(last)
  }
  await store.close()
  return found
}

t.test('NS-43 a path is a non-empty string', async (t) => {
  for (const path of ['', undefined, 1] as string[]) t.throws(() => levelNodes({ path }), TypeError)
})

t.test('NS-42 a folder that is in use in this process is refused too', async (t) => {
  const path = t.testdir()
  const first = levelNodes({ path })
  const second = levelNodes({ path })
  await first.open()
  await t.rejects(second.open(), { code: 'store.locked' })
  t.equal((await appendTo(first, 'room', 0, [sampleNode(1)])).last, 1)
  await first.close()
  await second.open()
  t.equal(await second.version('room'), 1)
  await second.close()
})

t.test('NS-44 a newer format is refused and left alone', async (t) => {
  const path = t.testdir()
  await filled(path, (store) => appendTo(store, 'room', 0, [sampleNode(1)]))
  const newer = text(JSON.stringify({ name: 'nodalmerge nodes', version: 2, more: true }))
  await raw(path, (db) => db.put(FORMAT_KEY, newer))
  await t.rejects(levelNodes({ path }).open(), { code: 'store.format_newer', message: /format 2.*up to 1/ })
  await raw(path, async (db) => { t.strictSame(await db.get(FORMAT_KEY), Buffer.from(newer)) })
})

t.test('NS-45 what other programs wrote is refused and left alone', async (t) => {
  const refused = async (t: Test, path: string, message: RegExp): Promise<void> => {
    await t.rejects(levelNodes({ path }).open(), { code: 'store.format_foreign', message })
  }
  for (const name of ['activesync.db', 'nodalmerge.db', 'nodalmerge.db-wal']) {
    await refused(t, t.testdir({ [name]: 'SQLite format 3' }), /of an earlier server/)
    await refused(t, `${t.testdir({ [name]: 'SQLite format 3' })}/nodes`, /of an earlier server/)
  }
  const path = t.testdir({ 'notes.txt': 'mine', CURRENT: 'x' })
  await refused(t, path, /holds notes\.txt, which is not ours/)
  t.strictSame(readdirSync(path).sort(), ['CURRENT', 'notes.txt'])
  await refused(t, join(path, 'notes.txt'), /is not a folder/)
  for (const [i, value] of ['{}', 'not JSON', '{"name":"nodalmerge nodes","version":0}'].entries()) {
    const folder = t.testdir({ [i]: {} })
    await raw(join(folder, String(i)), (db) => db.put(FORMAT_KEY, text(value)))
    await refused(t, join(folder, String(i)), /not written by this store/)
  }
  const other = t.testdir()
  await raw(other, (db) => db.put(text('key'), text('value')))
  await refused(t, other, /not written by this store/)
})

t.test('NS-46 a new, an empty and a barely begun folder are fine', async (t) => {
  const path = t.testdir({ empty: { '.keep': '', 'lost+found': {} }, begun: {} })
  await raw(join(path, 'begun'), async () => {})
  for (const name of ['empty', 'begun', 'new', 'deep/er']) {
    await filled(join(path, name), (store) => appendTo(store, 'room', 0, [sampleNode(1)]))
  }
})

t.test('NS-47 a folder that cannot be used fails to open, and can be opened later', async (t) => {
  const path = t.testdir({ CURRENT: 'MANIFEST-000009\n', sub: '' })
  const store = levelNodes({ path: join(path, 'a\0b') })
  await t.rejects(store.open(), { code: 'store.failed' })
  const folder = join(t.testdir({ db: { CURRENT: 'MANIFEST-000009\n' } }), 'db')
  const later = levelNodes({ path: folder })
  await t.rejects(later.open(), { code: 'store.failed' })
  await t.rejects(later.version('room'), { code: 'store.closed' })
  writeFileSync(join(folder, 'CURRENT'), '')
  await t.rejects(later.open(), { code: 'store.failed' })
  await later.close()
})

t.test('NS-48 a node that cannot be read is reported and its neighbours are loaded', async (t) => {
  const path = t.testdir()
  await filled(path, async (store) => {
    await appendTo(store, 'room', 0, sampleNodes(1, 5))
    await appendTo(store, 'room', 5, sampleNodes(6, 5))
  })
  const key = nodeKeys('room')
  await raw(path, async (db) => {
    const record = Buffer.from(await db.get(key(1)) ?? '')
    const second = record.indexOf(sampleNode(2))
    record.fill(0xff, second + 64, second + 80)
    const fourth = record.indexOf(sampleNode(4)) + sampleNode(4).length
    record[fourth - 65] = 1
    await db.put(key(1), record)
  })
  const found = await readings(path, 'room')
  t.strictSame(found.damaged, [2, 4])
  sameNodes(found.nodes, [1, 3, 5, 6, 7, 8, 9, 10].map((n) => sampleNode(n)))
  t.equal(found.lasts.at(-1), 10)
  t.strictSame((await readings(path, 'room', 4)).damaged, [])
  const long = new Uint8Array([...sampleNode(11), 0])
  await filled(path, (store) => appendTo(store, 'room', 10, [long, sampleNode(12)]))
  const tail = await readings(path, 'room', 10)
  t.strictSame(tail.damaged, [11])
  sameNodes(tail.nodes, [sampleNode(12)])
})

t.test('NS-49 a record that cannot be read or is gone is reported and the rest is loaded', async (t) => {
  const path = t.testdir()
  const cut = nodeKeys('cut')
  const gone = nodeKeys('gone')
  await filled(path, async (store) => {
    for (const room of ['cut', 'gone', 'tail', 'all']) {
      for (let seq = 0; seq < 9; seq += 3) await appendTo(store, room, seq, sampleNodes(seq + 1, 3))
    }
  })
  await raw(path, async (db) => {
    const record = await db.get(cut(4))
    await db.put(cut(4), record?.subarray(0, -1) ?? text(''))
    await db.put(cut(7), text(''))
    await db.del(gone(4))
    await db.del(nodeKeys('tail')(7))
    for (const seq of [1, 4, 7]) await db.del(nodeKeys('all')(seq))
  })
  const nodes = sampleNodes(1, 9)
  const partly = await readings(path, 'cut')
  t.strictSame([partly.damaged, partly.lasts], [[6, 7], [6]])
  sameNodes(partly.nodes, nodes.slice(0, 5))
  const without = await readings(path, 'gone')
  t.strictSame([without.damaged, without.lasts], [[4], [9]])
  sameNodes(without.nodes, [...nodes.slice(0, 3), ...nodes.slice(6)])
  t.strictSame((await readings(path, 'gone', 4)).damaged, [5])
  t.strictSame((await readings(path, 'tail')).damaged, [7])
  t.strictSame(await readings(path, 'all', 5), { nodes: [], damaged: [6], lasts: [] })
})

t.test('NS-50 damaged nodes are stored again when they are sent again', async (t) => {
  const path = t.testdir()
  await filled(path, (store) => appendTo(store, 'room', 0, sampleNodes(1, 3)))
  await raw(path, (db) => db.put(nodeKeys('room')(1), text('?')))
  await filled(path, async (store) => {
    t.strictSame(await appendTo(store, 'room', 0, sampleNodes(1, 3)), { last: 6, kept: [0, 1, 2] })
    sameNodes(await loadAll(store, 'room', 3), sampleNodes(1, 3))
  })
})

t.test('NS-51 an unreadable part of a file costs the nodes in it and no more', async (t) => {
  const path = t.testdir()
  const nodes = sampleNodes(1, 3000, 100)
  await filled(path, async (store) => {
    for (let seq = 0; seq < 3000; seq += 10) await appendTo(store, 'room', seq, nodes.slice(seq, seq + 10))
  })
  await filled(path, (store) => store.check())
  const [table] = readdirSync(path).filter((name) => name.endsWith('.ldb'))
  const bytes = readFileSync(join(path, table))
  bytes.fill(0, 200_000, 220_000)
  writeFileSync(join(path, table), bytes)
  const found = await readings(path, 'room')
  t.ok(found.damaged.length > 0, `${found.damaged.length} gaps`)
  t.ok(found.nodes.length > 2500 && found.nodes.length < 3000, `${found.nodes.length} of 3000 are left`)
  t.equal(found.lasts.at(-1), 3000)
})

t.test('NS-52 a head or a state that cannot be read is an error, never a guess', async (t) => {
  const path = t.testdir()
  await filled(path, (store) => appendTo(store, 'room', 0, [sampleNode(1)]))
  await raw(path, async (db) => {
    await db.put(headKey('room'), text('?'))
    await db.put(stateKey('locked'), text('{"key":null}'))
    await db.put(stateKey('garbled'), text('{'))
  })
  await filled(path, async (store) => {
    await t.rejects(appendTo(store, 'room', 1, [sampleNode(2)]), { code: 'store.failed' })
    await t.rejects(store.version('room'), { code: 'store.failed' })
    await t.rejects(allRooms(store), { code: 'store.failed' })
    await t.rejects(store.state('locked'), { code: 'store.failed' })
    await t.rejects(store.state('garbled'), { code: 'store.failed', message: /"garbled"/ })
  })
})

t.test('NS-53 no record holds more than half a mebibyte, except for one node', async (t) => {
  const path = t.testdir()
  const nodes = [...sampleNodes(1, 3000, 700), sampleNode(3001, 2_000_000), ...sampleNodes(3002, 2)]
  await filled(path, (store) => appendTo(store, 'room', 0, nodes))
  await raw(path, async (db) => {
    const sizes = (await db.values({ gte: nodeKeys('room')(0), lte: nodeKeys('room')(2 ** 53 - 1) }).all()).map((value) => value.length)
    t.equal(sizes.filter((size) => size > 512 * 1024 + 10).length, 1)
    t.ok(sizes.length < 10, `${sizes.length} records`)
  })
})

t.test('NS-54 seqs above 2^32 sort and come back', async (t) => {
  const path = t.testdir()
  const end = 2 ** 40 + 5
  await filled(path, (store) => appendTo(store, 'room', 0, [sampleNode(1)]))
  await raw(path, (db) => db.put(headKey('room'), seqBytes(end)))
  await filled(path, async (store) => {
    t.equal((await appendTo(store, 'room', end, sampleNodes(2, 3))).last, end + 3)
    sameNodes(await loadAll(store, 'room', end + 1), sampleNodes(3, 2))
  })
})

t.test('NS-55 space for reopening is the size of the logs and a margin', async (t) => {
  const path = t.testdir({ '000003.log': 'x'.repeat(5000) })
  mkdirSync(join(path, 'empty'))
  const needed = 1024 * 1024 + 5000
  await checkSpace(path, async () => needed)
  await t.rejects(checkSpace(path, async () => needed - 1), { code: 'store.failed', message: /disk is full/ })
  await levelFolder(join(path, 'empty')).space()
})
