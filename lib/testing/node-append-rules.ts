import assert from 'node:assert/strict'
import type { Append } from '../store/node-store.js'
import { type NodeStoreRule, allRooms, appendTo, loadAll, sameNodes } from './node-store-rule.js'
import { sampleNode, sampleNodes } from './sample-nodes.js'

const FAILED = { name: 'NodalmergeError', code: 'store.failed' }

/** Room ids that naive keys, paths, globs or objects confuse with one another. */
export const ODD_ROOMS = [
  'a', 'ab', 'a/b', 'a%2Fb', 'a\\b', '../a', '.', ' ', 'a ', 'A', 'a:1', 'a\u0001', '\u00e4', 'a\u0308', '\u{1f600}', '__proto__',
  'constructor', 'null', '%', '_', '*', "'; drop table rooms; --", 'x'.repeat(100), 'x'.repeat(101), '\u{1f600}'.repeat(256), '\ufffd'
]

export const nodeAppendRules: NodeStoreRule[] = [
  {
    title: 'NS-1 a new store is empty',
    async run ({ store }) {
      assert.equal(await store.version('nowhere'), 0)
      assert.equal(await store.state('nowhere'), null)
      sameNodes(await loadAll(store, 'nowhere'), [])
      assert.equal((await allRooms(store)).size, 0)
    }
  },
  {
    title: 'NS-2 nodes come back byte for byte in the order they were appended',
    async run ({ store }) {
      const nodes = sampleNodes(1, 8)
      for (const [i, node] of nodes.entries()) {
        assert.deepEqual(await appendTo(store, 'room', i, [node]), { last: i + 1, kept: [0] })
      }
      const more = sampleNodes(100, 5)
      assert.deepEqual(await appendTo(store, 'room', 8, more), { last: 13, kept: [0, 1, 2, 3, 4] })
      sameNodes(await loadAll(store, 'room'), [...nodes, ...more])
      assert.equal(await store.version('room'), 13)
    }
  },
  {
    title: 'NS-3 the same append again stores nothing',
    async run ({ store }) {
      const nodes = sampleNodes(1, 5)
      assert.deepEqual(await appendTo(store, 'room', 0, nodes), { last: 5, kept: [0, 1, 2, 3, 4] })
      for (let i = 0; i < 2; i++) assert.deepEqual(await appendTo(store, 'room', 0, nodes), { last: 5, kept: [] })
      sameNodes(await loadAll(store, 'room'), nodes)
    }
  },
  {
    title: 'NS-4 an append of a caller that has not seen the latest nodes adds what is new only',
    async run ({ store }) {
      await appendTo(store, 'room', 0, sampleNodes(1, 3))
      await appendTo(store, 'room', 3, sampleNodes(4, 3))
      const mixed = [sampleNode(50), sampleNode(5), sampleNode(51), sampleNode(6), sampleNode(4)]
      assert.deepEqual(await appendTo(store, 'room', 3, mixed), { last: 8, kept: [0, 2] })
      sameNodes(await loadAll(store, 'room'), [...sampleNodes(1, 6), sampleNode(50), sampleNode(51)])
    }
  },
  {
    title: 'NS-5 an append of no nodes changes nothing and makes no room',
    async run ({ store }) {
      assert.deepEqual(await store.append([]), [])
      assert.deepEqual(await appendTo(store, 'room', 0, []), { last: 0, kept: [] })
      assert.equal((await allRooms(store)).size, 0)
      await appendTo(store, 'room', 0, sampleNodes(1, 2))
      assert.deepEqual(await appendTo(store, 'room', 2, []), { last: 2, kept: [] })
      sameNodes(await loadAll(store, 'room'), sampleNodes(1, 2))
    }
  },
  {
    title: 'NS-6 rooms do not see one another, whatever their names',
    async run ({ store }) {
      for (const [i, room] of ODD_ROOMS.entries()) await appendTo(store, room, 0, sampleNodes(1000 * i, i + 1))
      for (const [i, room] of ODD_ROOMS.entries()) {
        assert.equal(await store.version(room), i + 1, `the seq of ${JSON.stringify(room)}`)
        sameNodes(await loadAll(store, room), sampleNodes(1000 * i, i + 1))
      }
    }
  },
  {
    title: 'NS-7 one commit takes nodes of many rooms',
    async run ({ store }) {
      const appends = Array.from({ length: 300 }, (_, i): Append => ({ room: `room ${i}`, after: 0, nodes: sampleNodes(10 * i, i % 3) }))
      const answers = await store.append(appends)
      assert.deepEqual(answers, appends.map(({ room, nodes }) => ({ room, last: nodes.length, kept: [...nodes.keys()] })))
      for (const { room, nodes } of appends) sameNodes(await loadAll(store, room), nodes)
      assert.equal((await allRooms(store)).size, 200)
    }
  },
  {
    title: 'NS-8 a commit may name a room twice',
    async run ({ store }) {
      const first = { room: 'room', after: 0, nodes: sampleNodes(1, 2) }
      const second = { room: 'room', after: 0, nodes: sampleNodes(2, 2) }
      assert.deepEqual(await store.append([first, second]), [
        { room: 'room', last: 2, kept: [0, 1] }, { room: 'room', last: 3, kept: [1] }
      ])
      sameNodes(await loadAll(store, 'room'), sampleNodes(1, 3))
    }
  },
  {
    title: 'NS-9 a commit is refused as a whole when one of its appends is',
    async run ({ store }) {
      await appendTo(store, 'room', 0, sampleNodes(1, 2))
      const good = { room: 'room', after: 2, nodes: sampleNodes(3, 1) }
      const ahead = { room: 'other', after: 1, nodes: sampleNodes(9, 1) }
      await assert.rejects(store.append([good, ahead]), FAILED)
      await assert.rejects(store.append([good, { ...good, nodes: [new Uint8Array(131)] }]), RangeError)
      assert.equal(await store.version('room'), 2)
      assert.deepEqual(await allRooms(store), new Map([['room', 2]]))
      assert.deepEqual(await store.append([good]), [{ room: 'room', last: 3, kept: [0] }])
    }
  },
  {
    title: 'NS-10 overlapping appends are one commit each, without gaps',
    async run ({ store }) {
      const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => appendTo(store, 'room', 0, sampleNodes(10 * i, 1 + i % 3))))
      const ends = answers.map(({ last }) => last).sort((a, b) => a - b)
      assert.equal(new Set(ends).size, 40)
      const found = await loadAll(store, 'room')
      assert.equal(found.length, ends[39])
      for (const [i, { last, kept }] of answers.entries()) {
        sameNodes(found.slice(last - kept.length, last), sampleNodes(10 * i, 1 + i % 3))
      }
    }
  },
  {
    title: 'NS-11 overlapping appends of the same nodes store them once',
    async run ({ store }) {
      const answers = await Promise.all(Array.from({ length: 8 }, () => appendTo(store, 'room', 0, sampleNodes(1, 4))))
      assert.equal(answers.filter(({ kept }) => kept.length === 4).length, 1)
      assert.equal(answers.filter(({ kept }) => kept.length === 0).length, 7)
      sameNodes(await loadAll(store, 'room'), sampleNodes(1, 4))
    }
  },
  {
    title: 'NS-12 the caller may reuse its buffers once the append has resolved',
    async run ({ store }) {
      const node = sampleNode(1)
      await appendTo(store, 'room', 0, [node])
      node.fill(0)
      sameNodes(await loadAll(store, 'room'), [sampleNode(1)])
    }
  },
  {
    title: 'NS-13 arguments that cannot be stored are refused',
    async run ({ store }) {
      const append = (part: object): Promise<unknown> => store.append([{ room: 'room', after: 0, nodes: [sampleNode(1)], ...part }])
      for (const part of [{ room: 1 }, { room: null }, { after: '0' }, { nodes: {} }, { nodes: ['node'] }]) {
        await assert.rejects(append(part), TypeError)
      }
      for (const room of ['', 'a\0b', '\ud800', 'x'.repeat(1025), '\u{1f600}'.repeat(257)]) {
        await assert.rejects(append({ room }), RangeError)
        await assert.rejects(store.version(room), RangeError)
        await assert.rejects(store.state(room), RangeError)
        await assert.rejects(loadAll(store, room), RangeError)
      }
      for (const after of [-1, 0.5, NaN, 2 ** 53]) await assert.rejects(append({ after }), RangeError)
      assert.equal((await allRooms(store)).size, 0)
    }
  }
]
