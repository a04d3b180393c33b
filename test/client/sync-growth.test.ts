import t, { type Test } from 'tap'
import { encodeNode, encodeTransaction, nodeId } from '../../lib/protocol/node.js'
import { encodePack } from '../../lib/protocol/pack.js'
import { blake3, peer } from '../room/harness.js'
import { breathe } from '../../lib/client/breath.js'
import { drive } from '../../lib/client/slice.js'
import { type Rig, createRig, ed25519, setOp, turns, until } from './sync-rig.js'
import { ownHost, scriptedHost } from './sync-hosts.js'

/** Processor time of the best of three runs, in microseconds; below 500 the clock weighs more than the work. */
async function cost (run: () => Promise<void>): Promise<number> {
  let best = Infinity
  for (let i = 0; i < 3; i++) {
    const start = process.cpuUsage()
    await run()
    const { user, system } = process.cpuUsage(start)
    best = Math.min(best, user + system)
  }
  return Math.max(best, 500)
}

async function withHistory (test: Test, size: number): Promise<Rig> {
  const a = await createRig(test)
  const other = peer(3, { verify: false })
  a.sync.pack(encodePack(Array.from({ length: size }, (_, i) => other.write([setOp(`k${i % 50}`)]))))
  await a.sync.idle()
  return a
}

t.test('SY-70 a write costs the same whatever lies behind it', async (t) => {
  const write = (rig: Rig): Promise<number> => cost(async () => {
    for (let i = 0; i < 200; i++) rig.set(`w${i % 20}`)
    await rig.sync.idle()
  })
  const short = await write(await withHistory(t, 500))
  const long = await write(await withHistory(t, 4000))
  t.ok(long < 4 * short, `${long} µs after 4,000 nodes, ${short} µs after 500`)
})

t.test('SY-71 writing offline, and sending it all, is linear in what is written', async (t) => {
  const run = (size: number): Promise<number> => cost(async () => {
    const host = await ownHost(t)
    const a = await createRig(t)
    for (let i = 0; i < size; i++) a.set(`w${i % 20}`)
    await a.sync.idle()
    a.connect(host)
    await until(() => a.sync.synced, 'in sync', 100_000)
    t.equal(a.storage.waiting.size, 0)
  })
  const few = await run(250)
  const many = await run(2000)
  t.ok(many < 24 * few, `${many} µs for 2,000 nodes, ${few} µs for 250`)
})

t.test('SY-72 a large upload leaves pauses, and what a server has lost is found in pauses', async (t) => {
  const a = await withHistory(t, 5000)
  const host = scriptedHost()
  a.connect(host)
  host.say({ type: 'welcome', root: 'ab'.repeat(32), frontier: [], missing: ['cd'.repeat(32)], ext: ['ack', 'literal-missing'] })
  await until(() => host.heard.filter(({ type }) => type === 'pack').length > 0, 'the first pack')
  t.ok(host.heard.filter(({ type }) => type === 'pack').length <= 2, 'not all of it in one turn')
  await until(() => host.heard.filter(({ type }) => type === 'pack').length > 3, 'more of it')
  const bytes = host.heard.reduce((sum, frame) => sum + String(frame.nodes ?? '').length, 0)
  t.ok(bytes > 1_000_000)
  a.cut()
  a.connect(host)
  host.say({ type: 'welcome', root: 'ab'.repeat(32), frontier: [], missing: ['cd'.repeat(32)], ext: ['ack', 'literal-missing'] })
  a.cut()
  await turns()
  t.equal(host.heard.filter(({ type }) => type === 'pack').length, 0, 'the session has ended meanwhile')
})

t.test('SY-73 a flood of roots makes no node large: many heads are merged by several nodes', async (t) => {
  const a = await createRig(t)
  const roots = Array.from({ length: 300 }, (_, i) => peer(1, { seed: new Uint8Array(32).fill(i % 250).fill(i >> 4, 1) }).write([setOp(`k${i}`)]))
  a.sync.pack(encodePack(roots))
  await a.sync.idle()
  const before = a.sync.greeting().frontier.length
  t.ok(before > 250)
  for (let i = 0; i < 5; i++) a.set(`w${i}`)
  await a.sync.idle()
  const sizes = [...a.storage.waiting.values()].map((node) => node.length)
  t.ok(Math.max(...sizes) < 128 * 32 + 400)
  t.ok(sizes[4] < 1000, 'after a few writes there is one head again')
})

t.test('SY-74 long work lets others go first every few milliseconds', async (t) => {
  let others = 0
  let over = false
  const watch = (): void => {
    others++
    if (!over) setImmediate(watch)
  }
  setImmediate(watch)
  let starved = 0
  await drive((function * () {
    for (let slice = 0; slice < 5; slice++) {
      const before = others
      for (const end = performance.now() + 20; performance.now() < end;) continue
      yield
      if (others === before) starved++
    }
  })())
  over = true
  t.equal(starved, 0)
})

t.test('SY-76 where there is no setImmediate a message does', async (t) => {
  const { setImmediate } = globalThis
  t.teardown(() => { globalThis.setImmediate = setImmediate })
  Object.assign(globalThis, { setImmediate: undefined })
  await breathe()
  t.equal(globalThis.setImmediate, undefined)
})

t.test('SY-75 a large graph asks for everything rather than list what it has', async (t) => {
  const a = await createRig(t, { ed25519: { ...ed25519, verify: async (jobs) => jobs.map(() => true) } })
  const nodes: Uint8Array[] = []
  const author = new Uint8Array(32).fill(7)
  for (let i = 0; i < 10_001; i++) {
    const transaction = encodeTransaction({ author, lamport: i + 1, wallMs: 0, ops: [], parents: nodes.slice(-1).map((node) => node.subarray(0, 32)) })
    nodes.push(encodeNode(nodeId(transaction, blake3), transaction, new Uint8Array(64)))
  }
  const orphan = encodeTransaction({ author, lamport: 1, wallMs: 0, ops: [], parents: [author] })
  a.sync.pack(encodePack([...nodes, encodeNode(nodeId(orphan, blake3), orphan, new Uint8Array(64))]))
  await a.sync.idle()
  const host = scriptedHost()
  a.connect(host)
  for (let i = 0; i < 3; i++) a.clock.advance(2000)
  await until(() => host.heard.at(-1)?.type === 'request', 'the request')
  t.same(host.heard.at(-1), { type: 'request', known: [] })
})
