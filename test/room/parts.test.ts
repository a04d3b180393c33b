import t from 'tap'
import { createBucket } from '../../lib/room/bucket.js'
import { systemClock } from '../../lib/clock.js'
import { type Ledger, createCommitter } from '../../lib/room/commit.js'
import { packFrames } from '../../lib/room/frame.js'
import { createSharedFrames } from '../../lib/room/shared-frames.js'
import { createDag } from '../../lib/dag/dag.js'
import { nobleBlake3 } from '../../lib/protocol/blake3.js'
import { scanNode } from '../../lib/protocol/node.js'
import { cursor } from '../../lib/protocol/postcard.js'
import { sampleNodes } from '../../lib/testing/sample-nodes.js'
import { createLane } from '../../lib/room/lane.js'
import { limitsSchema } from '../../lib/room/limits.js'
import { createOutbox, type Socket } from '../../lib/room/outbox.js'
import { createPatience } from '../../lib/room/patience.js'
import { createQuota, createQuotas } from '../../lib/room/quota.js'
import { createPace, createTurn, drive } from '../../lib/room/turn.js'
import { createFakeClock } from '../../lib/testing/clock.js'
import type { Append, NodeStore } from '../../lib/store/node-store.js'
import { memoryNodes } from '../../lib/store/memory-nodes.js'

const limits = limitsSchema.parse({})
const bytes = (text: string): Uint8Array => Buffer.from(text)

t.test('LM-1 a bucket holds one second of its rate, refills continuously and takes all or nothing', async (t) => {
  const bucket = createBucket(10, 0)
  t.ok(bucket.take(10, 0))
  t.notOk(bucket.take(1, 0))
  t.notOk(bucket.full(0))
  t.notOk(bucket.take(6, 500), 'half a second brings five')
  t.ok(bucket.take(5, 500))
  t.notOk(bucket.take(11, 10_000), 'more than the capacity never passes')
  t.ok(bucket.full(10_000))
  t.ok(createBucket(0, 0).take(1e9, 0), 'zero switches the limit off')
})

t.test('LM-2 a quota charges nodes before bytes and gives one allowance after a welcome', async (t) => {
  const few = limitsSchema.parse({ nodesPerSecond: 10, bytesPerSecond: 100, reconcileNodes: 50, reconcileBytes: 500 })
  const quota = createQuota(few, 0)
  t.throws(() => quota.charge(11, 0, 0), { code: 'reject.rate_limit_nodes' })
  t.throws(() => quota.charge(1, 101, 0), { code: 'reject.rate_limit_bytes' })
  quota.welcome(1_000)
  t.doesNotThrow(() => quota.charge(55, 550, 1_000), 'the allowance and the bucket together')
  t.throws(() => quota.charge(10, 0, 1_000), { code: 'reject.rate_limit_nodes' }, 'both are used up')
  quota.welcome(2_000)
  t.throws(() => quota.charge(30, 0, 2_000), { code: 'reject.rate_limit_nodes' }, 'a second welcome within a minute gives nothing')
  quota.welcome(61_000)
  t.throws(() => quota.charge(20, 0, 61_000 + few.reconcileWindowMs), { code: 'reject.rate_limit_nodes' }, 'the allowance ends with its window')
})

t.test('LM-3 a quota outlives the connection and is forgotten when it is full again', async (t) => {
  let now = 0
  const quotas = createQuotas(limitsSchema.parse({ nodesPerSecond: 10 }), () => now)
  const first = quotas.of('p', 'a')
  first.charge(10, 0, 0)
  t.equal(quotas.of('p', 'a'), first, 'reconnecting refills nothing')
  t.not(quotas.of('p', 'b'), first, 'another address has its own')
  quotas.sweep(0)
  t.equal(quotas.of('p', 'a'), first, 'in use')
  now = 120_000
  quotas.sweep(now)
  t.not(quotas.of('p', 'a'), first)
})

t.test('LM-4 patience doubles from 250 ms to 30 s and forgets the oldest', async (t) => {
  const patience = createPatience(2)
  t.same(Array.from({ length: 12 }, () => patience.strain('x')), [0, 0, 250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000])
  patience.forget('x')
  t.equal(patience.strain('x'), 0)
  const small = createPatience(0)
  t.equal(small.strain('old'), 250)
  for (let i = 0; i < 1_000; i++) small.strain(`k${i}`)
  t.equal(small.strain('old'), 250, 'a thousand others pushed it out')
})

t.test('AC-1 packs of one session are placed in order although the work on them overlaps', async (t) => {
  const lane = createLane()
  const order: number[] = []
  const [a, b, c] = [lane.enter(), lane.enter(), lane.enter()]
  const run = async (n: number, ticket: typeof a): Promise<void> => {
    await ticket.turn
    order.push(n)
    ticket.leave()
  }
  b.leave()
  const waiting = [run(3, c), run(1, a)]
  await Promise.all(waiting)
  t.same(order, [1, 3], 'somebody who gave up does not let the next one pass those before')
})

t.test('OB-1 what a turn brings leaves in one write, in slices when it is much', async (t) => {
  const turn = createTurn()
  const order: number[] = []
  const done = new Promise<void>((resolve) => {
    for (let i = 0; i < 200; i++) {
      turn.defer(() => {
        const until = performance.now() + 0.2
        while (performance.now() < until);
        if (order.push(i) === 200) resolve()
      })
    }
  })
  let between = 0
  const tick = (): void => { between++; if (order.length < 200) setImmediate(tick) }
  setImmediate(tick)
  await done
  t.same(order, Array.from({ length: 200 }, (_, i) => i))
  t.ok(between > 1, `others ran ${between} times in between`)
  await new Promise<void>((resolve) => turn.defer(resolve))
})

t.test('OB-2 a job that offers to pause is driven in slices', async (t) => {
  function * job (): Generator<void, string> {
    for (let i = 0; i < 400; i++) {
      const until = performance.now() + 0.1
      while (performance.now() < until);
      yield
    }
    return 'done'
  }
  let others = 0
  const count = setInterval(() => others++, 1)
  t.equal(await drive(job()), 'done')
  clearInterval(count)
  t.ok(others > 2, `${others} timers fired meanwhile`)
  t.notOk(createPace().due())
})

function testSocket () {
  const sent: Array<{ frames: string[], written: (error?: Error) => void }> = []
  const socket: Socket = {
    send: (frames, written) => sent.push({ frames: frames.map((frame) => Buffer.from(frame).toString()), written }),
    close () {},
    terminate () {},
    ping () {},
    pause () {},
    resume () {}
  }
  return { sent, socket }
}

const inTurn = { defer: (task: () => void) => { queueMicrotask(task) } }

t.test('OB-3 one write at a time; frames keep their order; a waiting presence is replaced by a newer one', async (t) => {
  const { sent, socket } = testSocket()
  const clock = createFakeClock()
  const outbox = createOutbox(socket, limits, clock, inTurn, () => t.fail('not lagged'))
  outbox.reply(bytes('1'))
  outbox.broadcast(bytes('2'))
  await null
  t.same(sent.map(({ frames }) => frames), [['1', '2']])
  t.equal(outbox.writingSince(), clock.now())
  outbox.broadcast(bytes('p-old'), 'p')
  outbox.broadcast(bytes('3'))
  outbox.broadcast(bytes('p-new'), 'p')
  await null
  t.equal(sent.length, 1, 'the first write is still under way')
  sent[0].written()
  await null
  t.same(sent[1].frames, ['p-new', '3'])
  sent[1].written()
  t.equal(outbox.writingSince(), null)
  outbox.broadcast(bytes('p-later'), 'p')
  await null
  t.same(sent[2].frames, ['p-later'], 'a key is free again once its frame has left')
})

t.test('OB-4 a reader that falls behind by frames or by bytes is lagged; replies are not counted', async (t) => {
  for (const few of [{ outboxFrames: 2 }, { outboxBytes: 2 }]) {
    const { socket } = testSocket()
    let lagged = 0
    const outbox = createOutbox(socket, limitsSchema.parse(few), createFakeClock(), inTurn, () => lagged++)
    outbox.reply(bytes('x'))
    await null
    for (let i = 0; i < 2; i++) outbox.broadcast(bytes('b'))
    t.equal(lagged, 0)
    outbox.broadcast(bytes('b'))
    t.equal(lagged, 1, JSON.stringify(few))
  }
})

t.test('OB-5 producers wait while much is queued; a write holds about a mebibyte', async (t) => {
  const { sent, socket } = testSocket()
  const outbox = createOutbox(socket, limits, createFakeClock(), inTurn, () => {})
  const big = new Uint8Array(1 << 20)
  for (let i = 0; i < 3; i++) outbox.reply(big)
  await null
  t.equal(sent[0].frames.length, 1)
  let ready = false
  let drained = false
  const both = [outbox.ready().then(() => { ready = true }), outbox.drained().then(() => { drained = true })]
  await null
  t.notOk(ready)
  sent[0].written()
  await new Promise((resolve) => setImmediate(resolve))
  t.ok(ready)
  t.notOk(drained)
  sent[1].written()
  await null
  sent[2].written()
  await Promise.all(both)
  t.ok(drained)
})

t.test('OB-6 a failed write or a close ends the outbox and lets everybody go', async (t) => {
  const { sent, socket } = testSocket()
  const outbox = createOutbox(socket, limits, createFakeClock(), inTurn, () => {})
  outbox.reply(new Uint8Array(4 << 20))
  await null
  const waiting = outbox.ready()
  sent[0].written(new Error('gone'))
  await waiting
  outbox.reply(bytes('x'))
  outbox.broadcast(bytes('x'), 'k')
  await null
  t.equal(sent.length, 1, 'nothing is written after the end')
  sent[0].written()
  await outbox.drained()
})

interface Entry { bytes: Uint8Array }

function ledger (id: string, log: string[]): Ledger<Entry> & { recovered: number } {
  const text = (entries: readonly Entry[]): string => entries.map((entry) => Buffer.from(entry.bytes).toString()).join()
  return {
    id,
    seq: 0,
    recovered: 0,
    committed: (entries) => { log.push(`${id} committed ${text(entries)}`) },
    failed (entries, later) {
      log.push(`${id} failed ${text(entries)}`)
      return later.filter((entry) => entry.bytes[0] !== 33)
    },
    async recover () { this.recovered++ }
  }
}

function storeWith (append: (appends: readonly Append[]) => Promise<unknown>): NodeStore {
  return {
    ...memoryNodes(),
    async append (appends) {
      await append(appends)
      return appends.map(({ room, after, nodes }) => ({ room, last: after + nodes.length, kept: [] }))
    }
  }
}

const entry = (text: string): Entry => ({ bytes: bytes(text) })

t.test('CM-1 what arrives during a commit gathers for the next, of all rooms', async (t) => {
  const log: string[] = []
  const commits: Array<{ appends: readonly Append[], done: () => void }> = []
  const committer = createCommitter<Entry>(storeWith((appends) => new Promise<void>((resolve) => commits.push({ appends, done: resolve }))), 1 << 20)
  const [a, b] = [ledger('a', log), ledger('b', log)]
  committer.submit(a, [])
  committer.submit(a, [entry('1')])
  await new Promise((resolve) => setImmediate(resolve))
  committer.submit(a, [entry('2')])
  committer.submit(b, [entry('3')])
  committer.submit(a, [entry('4')])
  t.equal(commits.length, 1)
  commits[0].done()
  await new Promise((resolve) => setImmediate(resolve))
  t.same(commits[1].appends.map(({ room, after, nodes }) => [room, after, nodes.length]), [['a', 1, 2], ['b', 0, 1]])
  commits[1].done()
  await committer.idle()
  t.same(log, ['a committed 1', 'a committed 2,4', 'b committed 3'])
  t.equal(a.seq, 3)
})

t.test('CM-2 one commit is bounded in bytes; the rest follows in order', async (t) => {
  const log: string[] = []
  const sizes: number[] = []
  const committer = createCommitter<Entry>(storeWith(async (appends) => { sizes.push(appends.reduce((sum, { nodes }) => sum + nodes.length, 0)) }), 4)
  const [a, b] = [ledger('a', log), ledger('b', log)]
  committer.submit(a, ['aa', 'bb', 'cc', 'dd', 'ee'].map(entry))
  committer.submit(b, [entry('ff')])
  await committer.idle()
  t.same(sizes, [2, 2, 2])
  t.same(log, ['a committed aa,bb', 'a committed cc,dd', 'a committed ee', 'b committed ff'])
})

t.test('CM-3 a failed commit is told with what waits behind it, and the room reads the store again before its next one', async (t) => {
  const log: string[] = []
  let failures = 1
  const committer = createCommitter<Entry>(storeWith(async () => { if (failures-- > 0) throw new Error('disk') }), 2)
  const [a, b] = [ledger('a', log), ledger('b', log)]
  committer.submit(a, ['11', '!2', '33'].map(entry))
  await committer.idle()
  committer.submit(a, [entry('44')])
  committer.submit(b, [entry('55')])
  await committer.idle()
  t.same(log, ['a failed 11', 'a committed 33', 'a committed 44', 'b committed 55'], 'what depended on the failed entry was dropped')
  t.equal(a.recovered, 1)
  t.equal(b.recovered, 0)
})

t.test('CM-5 of several rooms in one commit only those in doubt are read again', async (t) => {
  const log: string[] = []
  let failures = 1
  const committer = createCommitter<Entry>(storeWith(async () => { if (failures-- > 0) throw new Error('disk') }), 100)
  const [a, b] = [ledger('a', log), ledger('b', log)]
  committer.submit(a, [entry('1')])
  await committer.idle()
  committer.submit(a, [entry('2')])
  committer.submit(b, [entry('3')])
  await committer.idle()
  t.same([a.recovered, b.recovered], [1, 0])
  t.same(log, ['a failed 1', 'a committed 2', 'b committed 3'])
})

t.test('CM-4 a room that cannot read its store again fails its entries', async (t) => {
  const log: string[] = []
  const committer = createCommitter<Entry>(storeWith(async () => { throw new Error('disk') }), 100)
  const a = { ...ledger('a', log), recover: async () => { throw new Error('still down') } }
  committer.submit(a, [entry('1')])
  await committer.idle()
  committer.submit(a, [entry('2')])
  await committer.idle()
  t.same(log, ['a failed 1', 'a failed 2'])
})

t.test('LM-5 the system clock runs timers once and lets them be cancelled', async (t) => {
  t.ok(Math.abs(systemClock.now() - Date.now()) < 1_000)
  const order: string[] = []
  const keep = setInterval(() => {}, 1_000)
  systemClock.after(1, () => order.push('cancelled'))()
  await new Promise<void>((resolve) => systemClock.after(5, resolve))
  clearInterval(keep)
  t.same(order, [])
})

t.test('RL-15 who joins at about the same time shares full frames; nothing else differs, and they are let go of', async (t) => {
  const dag = createDag(nobleBlake3)
  for (const node of sampleNodes(0, 60, 40)) dag.append(scanNode(cursor(node)))
  const frames = (runs: Array<[number, number]>, shared?: ReturnType<typeof createSharedFrames>, root: Uint8Array | null = null) =>
    [...packFrames(dag, runs, 'server', 2_000, root, shared)]
  const shared = createSharedFrames()
  const first = frames([[0, 60]], shared)
  const second = frames([[0, 60]], shared)
  t.same(first, frames([[0, 60]]), 'with a cache the frames are what they are without')
  t.same(second, first)
  t.ok(first.length > 5)
  t.equal(second.filter((frame, i) => frame === first[i]).length, first.length - 1, 'all but the last, which is not full')
  for (const runs of [[[0, 31]], [[3, 60]], [[0, 20], [25, 60]], [[0, 4], [5, 9], [9, 60]]] as Array<Array<[number, number]>>) {
    t.same(frames(runs, shared, dag.root()), frames(runs, undefined, dag.root()), JSON.stringify(runs))
  }
  const later = createSharedFrames()
  const [kept] = frames([[0, 60]], later)
  later.sweep()
  t.equal(frames([[0, 60]], later)[0], kept, 'used since')
  later.sweep()
  later.sweep()
  t.not(frames([[0, 60]], later)[0], kept, 'nobody asked')
  for (let i = 0; i < 17; i++) shared.put(1_000 + i, { to: 2_000, bytes: new Uint8Array(1) })
  t.equal(shared.get(1_000), undefined, 'sixteen are kept')
  t.ok(shared.get(1_001))
})
