import assert from 'node:assert/strict'
import { CHUNK_BYTES } from '../store/node-store.js'
import { type NodeStoreRule, allRooms, appendTo, loadAll, sameNodes } from './node-store-rule.js'
import { sampleNode, sampleNodes } from './sample-nodes.js'

const unexpected = (seq: number): void => { assert.fail(`seq ${seq} is reported as damaged`) }

/** Takes one item and tells the source that this was all. */
async function first<T> (items: AsyncIterable<T>): Promise<T> {
  const walk = items[Symbol.asyncIterator]()
  const { value } = await walk.next()
  await walk.return?.()
  return value
}

export const nodeLoadRules: NodeStoreRule[] = [
  {
    title: 'NS-14 loading starts behind any seq, also in the middle of a commit',
    async run ({ store }) {
      for (const [after, count] of [[0, 3], [3, 1], [4, 4], [8, 2]]) await appendTo(store, 'room', after, sampleNodes(after, count))
      for (let after = 0; after <= 12; after++) sameNodes(await loadAll(store, 'room', after), sampleNodes(0, 10).slice(after))
    }
  },
  {
    title: 'NS-15 a long room is loaded in chunks of whole nodes within the bound',
    async run ({ store }) {
      const nodes = sampleNodes(0, 5000, 700)
      await appendTo(store, 'room', 0, nodes.slice(0, 4000))
      for (let i = 4000; i < 5000; i += 10) await appendTo(store, 'room', i, nodes.slice(i, i + 10))
      const found: Uint8Array[] = []
      for await (const chunk of store.load('room', 0, unexpected)) {
        found.push(...chunk.nodes)
        assert.equal(chunk.last, found.length)
        assert.ok(chunk.nodes.reduce((sum, node) => sum + node.length, 0) <= CHUNK_BYTES, 'a chunk is at most a mebibyte')
      }
      sameNodes(found, nodes)
      sameNodes(await loadAll(store, 'room', 4321), nodes.slice(4321))
    }
  },
  {
    title: 'NS-16 a node larger than a chunk is a chunk of its own',
    async run ({ store }) {
      const nodes = [sampleNode(1), sampleNode(2, 3 * CHUNK_BYTES), sampleNode(3), sampleNode(4, CHUNK_BYTES - 400), sampleNode(5)]
      assert.equal((await appendTo(store, 'room', 0, nodes)).last, 5)
      const sizes: number[] = []
      for await (const chunk of store.load('room', 0, unexpected)) sizes.push(chunk.nodes.length)
      assert.ok(sizes.every((size) => size <= 2), 'large nodes are not gathered')
      sameNodes(await loadAll(store, 'room'), nodes)
    }
  },
  {
    title: 'NS-17 what is loaded during appends has no gaps',
    async run ({ store }) {
      const nodes = sampleNodes(0, 3000, 400)
      await appendTo(store, 'room', 0, nodes.slice(0, 2900))
      const appending = Promise.all(nodes.slice(2900).map((node) => appendTo(store, 'room', 2900, [node])))
      const found = await loadAll(store, 'room')
      assert.ok(found.length >= 2900)
      const answers = await appending
      const order = nodes.slice(0, 2900)
      answers.forEach(({ last }, i) => { order[last - 1] = nodes[2900 + i] })
      sameNodes(found, order.slice(0, found.length))
      sameNodes(await loadAll(store, 'room'), order)
    }
  },
  {
    title: 'NS-18 a reader that stops early leaves nothing behind',
    async run ({ store }) {
      await appendTo(store, 'room', 0, sampleNodes(0, 4000, 700))
      await appendTo(store, 'other', 0, sampleNodes(0, 1))
      for (let i = 0; i < 20; i++) {
        assert.ok((await first(store.load('room', 0, unexpected))).last < 4000)
        assert.ok((await first(store.rooms())).seq > 0)
      }
      assert.equal((await appendTo(store, 'room', 4000, [sampleNode(4000)])).last, 4001)
    }
  },
  {
    title: 'NS-19 every room is listed once with its last seq, also one that has only state',
    async run ({ store }) {
      const expected = new Map<string, number>()
      for (let i = 0; i < 250; i++) {
        const room = `${i % 7}/room ${i}`
        if (i % 10 === 0) await store.putState(room, { key: null, timeline: [] })
        else await appendTo(store, room, 0, sampleNodes(0, i % 10))
        expected.set(room, i % 10)
      }
      await store.putState('1/room 1', { key: null, timeline: [] })
      assert.deepEqual([...await allRooms(store)].sort(), [...expected].sort())
    }
  },
  {
    title: 'NS-20 the version of a room moves with its own nodes only',
    async run ({ store }) {
      await appendTo(store, 'room', 0, sampleNodes(0, 3))
      await appendTo(store, 'other', 0, sampleNodes(0, 9))
      await store.putState('room', { key: null, timeline: [] })
      assert.equal(await store.version('room'), 3)
      await appendTo(store, 'room', 3, sampleNodes(3, 1))
      assert.equal(await store.version('room'), 4)
      assert.equal(await store.version('other'), 9)
    }
  }
]
