import t from 'tap'
import { nodesOverLevel } from '../../lib/store/level-nodes.js'
import type { NodeStore } from '../../lib/store/node-store.js'
import { allRooms, appendTo, loadAll, sameNodes } from '../../lib/testing/node-store-rule.js'
import { STATE } from '../../lib/testing/room-state-rules.js'
import { sampleNode, sampleNodes } from '../../lib/testing/sample-nodes.js'
import { nodeKeys } from '../../lib/store/level-keys.js'
import { type FaultyLevel, faultyLevel } from './faulty-level.js'

interface Bench { store: NodeStore, disk: FaultyLevel, space: { free: boolean } }
const FAILED = { name: 'NodalmergeError', code: 'store.failed' }

/** An open store with two nodes in a room, over a database that fails on command. */
async function bench (): Promise<Bench> {
  const disk = faultyLevel()
  const space = { free: true }
  const source = { connect: () => disk, space: async () => { if (!space.free) throw new Error('no space') } }
  const store = nodesOverLevel(source, { name: 'faulty', durable: true, shared: false })
  await store.open()
  await appendTo(store, 'room', 0, sampleNodes(1, 2))
  return { store, disk, space }
}

t.test('NS-60 after a failed commit the database is reopened before anything else, and the next commit follows without gap', async (t) => {
  const { store, disk } = await bench()
  disk.fail = ['lost']
  await t.rejects(appendTo(store, 'room', 2, [sampleNode(3)]), FAILED)
  t.strictSame(await appendTo(store, 'room', 2, [sampleNode(4)]), { last: 3, kept: [0] })
  t.equal(disk.opened, 2)
  sameNodes(await loadAll(store, 'room'), [sampleNode(1), sampleNode(2), sampleNode(4)])
  await store.close()
})

t.test('NS-61 a commit that failed and was kept is neither overwritten nor repeated, and whoever reads sees it', async (t) => {
  for (const read of [true, false]) {
    const { store, disk } = await bench()
    disk.fail = ['kept']
    await t.rejects(appendTo(store, 'room', 2, sampleNodes(3, 2)), FAILED)
    if (read) sameNodes(await loadAll(store, 'room', 2), sampleNodes(3, 2))
    t.strictSame(await appendTo(store, 'room', 2, [sampleNode(9), sampleNode(4)]), { last: 5, kept: [0] })
    sameNodes(await loadAll(store, 'room'), [...sampleNodes(1, 4), sampleNode(9)])
    await store.close()
  }
})

t.test('NS-62 state that failed to be put is put again after reopening, and check notices both', async (t) => {
  const { store, disk } = await bench()
  disk.fail = ['lost', 'lost']
  await t.rejects(store.putState('locked', STATE), FAILED)
  t.equal(await store.state('locked'), null)
  await t.rejects(store.check(), FAILED)
  await store.check()
  await store.putState('locked', STATE)
  t.strictSame(await store.state('locked'), STATE)
  t.strictSame(await allRooms(store), new Map([['locked', 0], ['room', 2]]))
  await store.close()
})

t.test('NS-63 while the disk is full the store is read and refuses to write', async (t) => {
  const { store, disk, space } = await bench()
  disk.fail = ['lost']
  space.free = false
  for (let i = 0; i < 3; i++) await t.rejects(appendTo(store, 'room', 2, [sampleNode(3)]), FAILED)
  await t.rejects(store.check(), FAILED)
  t.equal(disk.opened, 1)
  sameNodes(await loadAll(store, 'room'), sampleNodes(1, 2))
  space.free = true
  t.strictSame(await appendTo(store, 'room', 2, [sampleNode(3)]), { last: 3, kept: [0] })
  await store.close()
})

t.test('NS-64 a database that fails to reopen is tried again by whoever comes, once for all of them', async (t) => {
  const { store, disk } = await bench()
  disk.fail = ['lost']
  await t.rejects(appendTo(store, 'room', 2, [sampleNode(3)]), FAILED)
  disk.failOpen = 2
  await t.rejects(appendTo(store, 'room', 2, [sampleNode(3)]), FAILED)
  await t.rejects(store.version('room'), FAILED)
  const answers = [store.version('room'), store.state('room'), loadAll(store, 'room'), appendTo(store, 'room', 2, [sampleNode(3)])]
  await Promise.all(answers)
  t.equal(disk.opened, 2)
  t.equal(await store.version('room'), 3)
  await store.close()
})

t.test('NS-65 closing waits for the reopening that readers have begun', async (t) => {
  const { store, disk } = await bench()
  disk.fail = ['lost']
  await t.rejects(appendTo(store, 'room', 2, [sampleNode(3)]), FAILED)
  disk.failOpen = 1
  await t.rejects(appendTo(store, 'room', 2, [sampleNode(3)]), FAILED)
  let go = (): void => {}
  disk.slowClose = new Promise((resolve) => { go = resolve })
  const reading = store.version('room')
  const closing = store.close()
  go()
  t.equal(await reading, 2)
  await closing
  t.equal(disk.opened, 2)
  await t.rejects(disk.get(new Uint8Array(1)), { code: 'LEVEL_DATABASE_NOT_OPEN' })
  await store.open()
  t.equal((await appendTo(store, 'room', 2, [sampleNode(3)])).last, 3)
  t.equal(disk.opened, 3, 'a store that was opened anew has nothing to mend')
  await store.close()
})

t.test('NS-66 a commit that fails in a queue of them fails alone', async (t) => {
  const { store, disk } = await bench()
  disk.fail = ['lost']
  const [first, ...rest] = await Promise.allSettled([3, 4, 5].map((n) => appendTo(store, 'room', 2, [sampleNode(n)])))
  t.match(first, { status: 'rejected', reason: FAILED })
  t.strictSame(rest.map((each) => each.status), ['fulfilled', 'fulfilled'])
  sameNodes(await loadAll(store, 'room', 2), sampleNodes(4, 2))
  await store.close()
})

t.test('NS-51 unreadable blocks show as gaps', async (t) => {
  const { store, disk } = await bench()
  for (let seq = 2; seq < 50; seq += 2) await appendTo(store, 'room', seq, sampleNodes(seq + 1, 2))
  const hidden = [21, 23, 49].map((seq) => Buffer.from(nodeKeys('room')(seq)))
  disk.unreadable = (key) => hidden.some((each) => each.equals(key))
  const damaged: number[] = []
  const found: Uint8Array[] = []
  for await (const { nodes } of store.load('room', 3, (seq) => damaged.push(seq))) found.push(...nodes)
  t.strictSame(damaged, [21, 49])
  sameNodes(found, [...sampleNodes(4, 17), ...sampleNodes(25, 24)])
  await store.close()
})

t.test('NS-67 reading that fails throws store.failed, and so does closing', async (t) => {
  const { store, disk } = await bench()
  disk.failWalks = new Error('Input/output error')
  await t.rejects(loadAll(store, 'room'), FAILED)
  disk.failWalks = null
  disk.failClose = true
  await t.rejects(store.close(), FAILED)
  disk.failClose = false
  await store.close()
})

t.test('NS-68 an append to a room in use reads nothing, whatever the number of rooms', async (t) => {
  const { store, disk } = await bench()
  const before = disk.reads
  for (let seq = 2; seq < 100; seq++) await appendTo(store, 'room', seq, [sampleNode(seq)])
  t.equal(disk.reads, before)
  const rooms = Array.from({ length: 17_000 }, (_, i) => ({ room: `room ${i}`, after: 0, nodes: [sampleNode(i)] }))
  await store.append(rooms)
  t.equal(disk.reads, before + 1)
  await appendTo(store, 'room 5', 1, [sampleNode(1)])
  t.equal(disk.reads, before + 2, 'and only so many rooms are remembered')
  await appendTo(store, 'room 5', 2, [sampleNode(2)])
  t.equal(disk.reads, before + 2)
  await store.close()
})
