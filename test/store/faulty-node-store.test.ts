import t from 'tap'
import { memoryNodes } from '../../lib/store/memory.js'
import { type FaultyNodeStore, faultyNodeStore } from '../../lib/testing/faulty-node-store.js'
import { allRooms, appendTo, loadAll, sameNodes } from '../../lib/testing/node-store-rule.js'
import { sampleNode, sampleNodes } from '../../lib/testing/sample-nodes.js'

async function opened (): Promise<FaultyNodeStore> {
  const store = faultyNodeStore(memoryNodes())
  await store.open()
  return store
}

t.test('NS-70 calls fail as often as they are told, without doing anything', async (t) => {
  const store = await opened()
  store.faults.fail('append', { times: 2 })
  store.faults.fail('append', { error: new RangeError('odd') })
  await t.rejects(appendTo(store, 'room', 0, [sampleNode(1)]), { code: 'store.failed' })
  await t.rejects(appendTo(store, 'room', 0, [sampleNode(1)]), { code: 'store.failed' })
  await t.rejects(appendTo(store, 'room', 0, [sampleNode(1)]), RangeError)
  t.equal(await store.version('room'), 0)
  t.equal((await appendTo(store, 'room', 0, [sampleNode(1)])).last, 1)
  t.equal(store.faults.calls('append'), 4)
  t.equal(store.faults.calls('close'), 0)
  t.throws(() => { store.faults.fail('append', { times: 0 }) }, RangeError)
})

t.test('NS-71 a call can do its work and fail all the same', async (t) => {
  const store = await opened()
  store.faults.fail('append', { kept: true })
  await t.rejects(appendTo(store, 'room', 0, sampleNodes(1, 2)), { code: 'store.failed' })
  t.equal(await store.version('room'), 2)
  store.faults.fail('load', { kept: true })
  store.faults.fail('rooms')
  const found: Uint8Array[] = []
  await t.rejects(async () => { for await (const { nodes } of store.load('room', 0, () => {})) found.push(...nodes) }, { code: 'store.failed' })
  sameNodes(found, sampleNodes(1, 2))
  await t.rejects(allRooms(store), { code: 'store.failed' })
  sameNodes(await loadAll(store, 'room'), sampleNodes(1, 2))
})

t.test('NS-72 calls are held until they are let go', async (t) => {
  const store = await opened()
  const release = store.faults.hold('append')
  const append = appendTo(store, 'room', 0, [sampleNode(1)])
  const both = store.faults.held('append', 2)
  await store.faults.held('append')
  const other = appendTo(store, 'other', 0, [sampleNode(1)])
  await both
  t.equal(await store.version('room'), 0, 'nothing was begun, and other calls pass')
  const again = store.faults.hold('append')
  release()
  t.strictSame(await Promise.all([append, other]), [{ last: 1, kept: [0] }, { last: 1, kept: [0] }])
  const third = appendTo(store, 'room', 1, [sampleNode(2)])
  await store.faults.held('append')
  again()
  t.equal((await third).last, 2)
  t.equal((await appendTo(store, 'room', 2, [sampleNode(3)])).last, 3)
})
