import assert from 'node:assert/strict'
import { NodalmergeError } from '../errors.js'
import type { NodeStore } from '../store/node-store.js'
import { type NodeStoreBench, type NodeStoreRule, allRooms, appendTo, loadAll, sameNodes } from './node-store-rule.js'
import { STATE } from './room-state-rules.js'
import { sampleNode, sampleNodes } from './sample-nodes.js'

const CLOSED = { name: 'NodalmergeError', code: 'store.closed' }

async function refusesEverything (store: NodeStore): Promise<void> {
  await assert.rejects(appendTo(store, 'room', 0, sampleNodes(0, 1)), CLOSED)
  await assert.rejects(loadAll(store, 'room'), CLOSED)
  await assert.rejects(allRooms(store), CLOSED)
  await assert.rejects(store.version('room'), CLOSED)
  await assert.rejects(store.state('room'), CLOSED)
  await assert.rejects(store.putState('room', STATE), CLOSED)
  await assert.rejects(store.check(), CLOSED)
}

/** Another store over the same storage, open; the first is closed before unless both may have it. */
async function second ({ store, another }: NodeStoreBench): Promise<NodeStore> {
  assert.ok(another, 'a durable or shared store is tested with `reopen`')
  if (!store.manifest.shared) await store.close()
  const next = await another()
  await next.open()
  return next
}

/** Counts what a walk yields; `rest` goes to its end and answers with the sum, or the code of the error it ended with. */
function walkOf<T> (items: AsyncIterable<T>, count: (item: T) => number): { step (): Promise<boolean>, rest (): Promise<unknown> } {
  const walk = items[Symbol.asyncIterator]()
  let sum = 0
  const step = async (): Promise<boolean> => {
    const next = await walk.next()
    if (next.done !== true) sum += count(next.value)
    return next.done !== true
  }
  return {
    step,
    async rest () {
      try {
        while (await step());
        return sum
      } catch (cause) {
        return cause instanceof NodalmergeError ? cause.code : cause
      }
    }
  }
}

export const nodeLifecycleRules: NodeStoreRule[] = [
  {
    title: 'NS-25 a closed store refuses everything, and closing twice is fine',
    async run ({ store }) {
      await store.check()
      await store.close()
      await refusesEverything(store)
      await store.close()
    }
  },
  {
    title: 'NS-26 opening twice is fine, and a closed store can be opened again',
    async run ({ store }) {
      await Promise.all([store.open(), store.open()])
      await appendTo(store, 'room', 0, sampleNodes(0, 2))
      await store.close()
      await store.open()
      assert.equal(await store.version('room'), store.manifest.durable ? 2 : 0)
    }
  },
  {
    title: 'NS-27 closing finishes the appends that were begun',
    async run ({ store }) {
      const appends = Array.from({ length: 10 }, (_, i) => appendTo(store, 'room', 0, [sampleNode(i)]))
      const closing = store.close()
      assert.deepEqual((await Promise.all(appends)).map(({ last }) => last).sort((a, b) => a - b), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
      await closing
    }
  },
  {
    title: 'NS-28 a reader whose store is closed gets everything or an error, never less',
    async run ({ store }) {
      await appendTo(store, 'room', 0, sampleNodes(0, 6000, 700))
      await store.putState('other', STATE)
      const nodes = walkOf(store.load('room', 0, () => {}), (chunk) => chunk.nodes.length)
      const rooms = walkOf(store.rooms(), () => 1)
      await Promise.all([nodes.step(), rooms.step()])
      await store.close()
      assert.match(String(await nodes.rest()), /^(6000|store\.closed)$/)
      assert.match(String(await rooms.rest()), /^(2|store\.closed)$/)
    }
  },
  {
    title: 'NS-29 a store that says it is durable has everything after it was reopened, any other says so',
    async run (bench) {
      const { store } = bench
      if (!store.manifest.durable) return assert.equal(bench.another, null, '`reopen` is for stores that keep something')
      await appendTo(store, 'room', 0, sampleNodes(0, 5))
      await appendTo(store, 'room', 5, sampleNodes(5, 5))
      await store.putState('locked', STATE)
      const next = await second(bench)
      try {
        sameNodes(await loadAll(next, 'room'), sampleNodes(0, 10))
        assert.deepEqual(await next.state('locked'), STATE)
        assert.deepEqual([...await allRooms(next)].sort(), [['locked', 0], ['room', 10]])
        assert.deepEqual(await appendTo(next, 'room', 5, sampleNodes(8, 4)), { last: 12, kept: [2, 3] })
      } finally {
        await next.close()
      }
    }
  },
  {
    title: 'NS-30 a store that says it is shared serves several at once',
    async run (bench) {
      const { store } = bench
      if (!store.manifest.shared) return assert.equal(typeof store.manifest.shared, 'boolean')
      const next = await second(bench)
      try {
        const both = [store, next, store, next].map((each, i) => appendTo(each, 'room', 0, sampleNodes(10 * i, 3)))
        assert.deepEqual((await Promise.all(both)).map(({ last }) => last).sort((a, b) => a - b), [3, 6, 9, 12])
        sameNodes(await loadAll(next, 'room'), await loadAll(store, 'room'))
        assert.deepEqual(await appendTo(next, 'room', 0, sampleNodes(0, 3)), { last: 12, kept: [] })
      } finally {
        await next.close()
      }
    }
  }
]
