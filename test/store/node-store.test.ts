import { MemoryLevel } from 'memory-level'
import t, { type Test } from 'tap'
import { nodesOverLevel } from '../../lib/store/level-nodes.js'
import { levelNodes } from '../../lib/store/level.js'
import { memoryNodes } from '../../lib/store/memory.js'
import type { NodeStore } from '../../lib/store/node-store.js'
import { faultyNodeStore } from '../../lib/testing/faulty-node-store.js'
import { nodeStoreSuite, type NodeStoreSuite } from '../../lib/testing/node-store-suite.js'
import { sharedNodes } from './shared-nodes.js'

type Opener = () => NodeStore
interface Made { store: NodeStore, again: Opener }

/** Runs the suite over the stores of `fresh`, which answers with a way to more stores over the same, new storage. */
function suiteOf (name: string, fresh: () => Opener, keeps: boolean): void {
  t.test(name, async (t: Test) => {
    const made: Made[] = []
    const create = async (): Promise<NodeStore> => {
      const again = fresh()
      const store = again()
      made.push({ store, again })
      return store
    }
    const reopen = async (store: NodeStore): Promise<NodeStore> => {
      const same = made.find((each) => each.store === store)
      if (same === undefined) throw new Error('the store was not made here')
      return same.again()
    }
    const suite: NodeStoreSuite = { test: (title, run) => { t.test(title, run) }, create }
    nodeStoreSuite(keeps ? { ...suite, reopen } : suite)
  })
}

const root = t.testdir()
let folders = 0

suiteOf('memory', () => memoryNodes, false)
suiteOf('level', () => {
  const path = `${root}/${folders++}`
  return () => levelNodes({ path })
}, true)
const memoryLevel = {
  connect: () => new MemoryLevel<Uint8Array, Uint8Array>({ keyEncoding: 'view', valueEncoding: 'view' }),
  space: async () => {}
}
suiteOf('memory-level', () => () => nodesOverLevel(memoryLevel, { name: 'memory-level', durable: false, shared: false }), false)
suiteOf('shared', sharedNodes, true)
suiteOf('faulty, without a fault', () => () => faultyNodeStore(memoryNodes()), false)

/** Stores with one mistake each, and the rules that find it. */
const mistakes: [string, (store: NodeStore) => Partial<NodeStore>, RegExp][] = [
  ['appends repeats', (store) => ({
    append: async (appends) => await Promise.all(appends.map(async (append) => {
      const [answer] = await store.append([{ ...append, after: await store.version(append.room) }])
      return answer
    }))
  }), /^NS-(3|4|8|9|10|11)$/],
  ['loads from the start', (store) => ({ load: (room, _, damaged) => store.load(room, 0, damaged) }), /^NS-14$/],
  ['finds fault', (store) => ({
    async * load (room, after, damaged) {
      damaged(1, new Error('a speck of dust'))
      yield * store.load(room, after, damaged)
    }
  }), /^NS-15$/],
  ['breaks when closed', (store) => ({
    async * load (room, after, damaged) {
      try {
        yield * store.load(room, after, damaged)
      } catch (cause) {
        throw new Error('a bare socket error', { cause })
      }
    }
  }), /^NS-28$/],
  ['folds case', (store) => ({ version: (room) => store.version(room.toLowerCase()) }), /^NS-6$/],
  ['lists nothing', () => ({ async * rooms () {} }), /^NS-(7|9|19)$/],
  ['forgets state', () => ({ async putState () {} }), /^NS-2[1-4]$/],
  ['reads when closed', () => ({ version: async () => 0 }), /^NS-(2|25)$/],
  ['claims to be durable', () => ({ manifest: { name: 'liar', durable: true, shared: false } }), /^NS-(26|29)$/],
  ['claims to be shared', () => ({ manifest: { name: 'liar', durable: false, shared: true } }), /^NS-30$/]
]

t.test('NS-31 the suite fails a store that breaks its rules', async (t) => {
  for (const [mistake, change, rules] of mistakes) {
    const failed: string[] = []
    const runs: Promise<void>[] = []
    nodeStoreSuite({
      test: (title, run) => { runs.push(run().catch(() => { failed.push(title.split(' ')[0]) })) },
      create: async () => {
        const store = memoryNodes()
        return { ...store, ...change(store) }
      }
    })
    await Promise.all(runs)
    t.ok(failed.some((rule) => rules.test(rule)), `${mistake}: ${failed.join(' ')}`)
  }
})

t.test('NS-32 the cost of a stored node does not grow with the room', async (t) => {
  const store = memoryNodes()
  await store.open()
  const node = new Uint8Array(211).fill(1)
  let after = 0
  const nanoseconds = async (count: number): Promise<number> => {
    const start = process.hrtime.bigint()
    for (let i = 0; i < count; i++) after = (await store.append([{ room: 'room', after, nodes: [node] }]))[0].last
    return Number(process.hrtime.bigint() - start) / count
  }
  await nanoseconds(20_000)
  const early = await nanoseconds(20_000)
  await nanoseconds(200_000)
  const late = await nanoseconds(20_000)
  t.ok(late < 10 * early, `${Math.round(early)} ns an append at 20,000 nodes, ${Math.round(late)} ns at 240,000`)
  await store.close()
})
