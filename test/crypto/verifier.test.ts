import t from 'tap'
import { EventEmitter } from 'node:events'
import { Worker } from 'node:worker_threads'
import { ITEM_LENGTH, type Batch, answerItems, cut, packBatch, settleBatch, size } from '../../lib/crypto/batch.js'
import { createSignatureCheck, createSigner } from '../../lib/crypto/ed25519.js'
import type { Thread } from '../../lib/crypto/threads.js'
import { type VerifierOptions, createVerifier } from '../../lib/crypto/verifier.js'
import type { SignatureJob, Verifier } from '../../lib/protocol/crypto.js'
import { seedOf } from '../protocol/vectors.js'
import { crafted } from './crafted.js'

const signers = [1, 2, 3].map((byte) => createSigner(seedOf(byte)))

/** Jobs of which every `badEvery`th does not verify. */
function makeJobs (count: number, badEvery = 3): { jobs: SignatureJob[], expected: boolean[] } {
  const jobs = Array.from({ length: count }, (_, i) => {
    const { publicKey, sign } = signers[i % signers.length]
    const id = new Uint8Array(32).fill(i % 251)
    id[31] = i >> 8
    const signature = sign(id)
    if (i % badEvery === 0) signature[i % 64] ^= 1
    return { author: publicKey, id, signature }
  })
  return { jobs, expected: jobs.map((_, i) => i % badEvery !== 0) }
}

/** A worker that does its work in this thread, when it is told to. */
class HandWorker extends EventEmitter {
  received: Uint8Array<ArrayBuffer>[] = []
  referenced = true
  postMessage (items: Uint8Array<ArrayBuffer>, [buffer]: ArrayBuffer[]): void { this.received.push(structuredClone(items, { transfer: [buffer] })) }
  ref (): void { this.referenced = true }
  unref (): void { this.referenced = false }
  async terminate (): Promise<void> { this.emit('exit', 1) }
  answer (): void {
    const items = this.received.shift()
    if (items === undefined) throw new Error('nothing to answer')
    answerItems(items, createSignatureCheck())
    this.emit('message', items)
  }
}

/** A verifier on such workers, and the list of those it has started. */
function byHand (options: VerifierOptions): { verifier: Verifier, workers: HandWorker[] } {
  const workers: HandWorker[] = []
  const start = () => {
    const worker = new HandWorker()
    workers.push(worker)
    return worker as unknown as Thread
  }
  return { verifier: createVerifier({ ...options, start }), workers }
}

const turn = async () => await new Promise<void>((resolve) => setImmediate(resolve))

/** A worker costs a second to start in a test, so that the tests share two. */
const shared = createVerifier({ threads: 2, inlineBelow: 1 })

t.test('ED-6 answers come in the order of the jobs, whatever the number of jobs and of calls', async (t) => {
  for (const count of [0, 1, 15, 16, 17, 300, 1100]) {
    const { jobs, expected } = makeJobs(count)
    t.same(await shared.verify(jobs), expected, `${count} jobs`)
  }
  const calls = Array.from({ length: 60 }, (_, i) => makeJobs(i % 7 + 1, i % 3 + 2))
  t.same(await Promise.all(calls.map(async ({ jobs }) => await shared.verify(jobs))), calls.map(({ expected }) => expected))
})

t.test('ED-6 crafted inputs and wrong lengths are refused here, on a worker and without threads', async (t) => {
  const [good] = makeJobs(1, 2).jobs.map((job) => ({ ...job, signature: signers[0].sign(job.id) }))
  const jobs = [
    ...crafted.map(({ author, message, signature }) => ({ author, id: message, signature })),
    { ...good, author: good.author.subarray(1) }, { ...good, signature: new Uint8Array(80) }, { ...good, id: new Uint8Array(31) }, good
  ]
  const expected = [...crafted.map(({ valid }) => valid), false, false, false, true]
  t.same(await shared.verify([...jobs, ...jobs]), [...expected, ...expected], 'on a worker')
  for (const job of jobs) {
    const verifier = createVerifier()
    t.same(await verifier.verify([job]), [expected[jobs.indexOf(job)]], 'here')
  }
  t.same(await createVerifier({ threads: 0 }).verify(jobs), expected, 'without threads')
})

t.test('ED-7 the jobs of one turn are gathered: a few are verified here, more go to the workers in batches', async (t) => {
  const { verifier, workers } = byHand({ threads: 2 })
  const few = makeJobs(2).jobs.slice(1)
  t.same(await verifier.verify(few), [true])
  t.equal(workers.length, 0, 'no worker was needed')

  const many = makeJobs(40)
  const done = Promise.all(many.jobs.map(async (job) => await verifier.verify([job])))
  await turn()
  await turn()
  t.same(workers.map(({ received }) => received.map((items) => items.length / ITEM_LENGTH)), [[20], [20]], 'one batch for each worker')
  t.ok(workers.every(({ referenced }) => referenced), 'ED-9 work keeps the process alive')
  workers.forEach((worker) => { worker.answer() })
  t.same((await done).flat(), many.expected)
  t.notOk(workers.some(({ referenced }) => referenced), 'idle workers do not')

  const huge = makeJobs(1500)
  const all = verifier.verify(huge.jobs)
  await turn()
  await turn()
  t.same(workers.map(({ received }) => received.map((items) => items.length / ITEM_LENGTH)), [[256, 256], [256, 256]], 'two batches each')
  for (let i = 0; i < 6; i++) workers.find(({ received }) => received.length > 0)?.answer()
  t.same(await all, huge.expected)
  await verifier.close()
})

/** A clock that moves by `step` milliseconds whenever it is read. */
function steppingClock (step: number): { now: () => number, pass: (time: number) => void } {
  let time = 0
  return { now: () => { time += step; return time }, pass: (more) => { time += more } }
}

t.test('ED-7 a steady trickle goes to the workers, too, so that the event loop has time for others', async (t) => {
  const { now, pass } = steppingClock(0.01)
  const { verifier, workers } = byHand({ threads: 1, now })
  const { jobs, expected } = makeJobs(3, 5)
  const one = jobs.slice(1, 2)
  t.same(await verifier.verify(jobs), expected)
  t.equal(workers.length, 0)
  t.same(await verifier.verify(one), [true], 'one client that waits for its answer is served here while the workers idle')
  t.equal(workers.length, 0)
  const second = verifier.verify(jobs)
  await turn()
  await turn()
  t.equal(workers.length, 1)
  const third = verifier.verify(one)
  await turn()
  await turn()
  t.equal(workers[0].received.length, 2, 'not while they have work')
  workers[0].answer()
  workers[0].answer()
  t.same(await second, expected)
  t.same(await third, [true])
  pass(1)
  t.same(await verifier.verify(jobs), expected, 'after a pause the main thread does it again')
  t.equal(workers[0].received.length, 0)
  await verifier.close()
})

t.test('ED-7 an inline slice ends after two milliseconds and a worker gets the rest', async (t) => {
  const { verifier, workers } = byHand({ threads: 1, inlineBelow: 1000, now: steppingClock(0.25).now })
  const { jobs, expected } = makeJobs(500)
  const done = verifier.verify(jobs)
  await turn()
  await turn()
  const [worker] = workers
  t.same(worker.received.map((items) => items.length / ITEM_LENGTH), [256, 500 - 256 - 8])
  while (worker.received.length > 0) worker.answer()
  t.same(await done, expected)
  await verifier.close()
})

t.test('ED-8 a worker that dies is replaced and its jobs are done again', async (t) => {
  let born = 0
  const file = new URL('../../lib/crypto/worker.ts', import.meta.url)
  class Dying extends Worker {
    readonly #number = born++
    override postMessage (...args: Parameters<Worker['postMessage']>): void {
      super.postMessage(...args)
      if (this.#number < 1) this.terminate().catch(t.threw)
    }
  }
  const verifier = createVerifier({ threads: 1, start: () => new Dying(file) })
  const { jobs, expected } = makeJobs(600)
  t.same(await verifier.verify(jobs), expected)
  t.equal(born, 2)
  await verifier.close()
})

t.test('ED-8 when every worker dies the main thread does the work, and says so', async (t) => {
  const start = () => new Worker('throw new Error("no luck")', { eval: true, execArgv: [] })
  const causes: unknown[] = []
  const verifier = createVerifier({ threads: 2, start, report: (cause) => causes.push(cause) })
  const { jobs, expected } = makeJobs(200)
  t.same(await verifier.verify(jobs), expected)
  t.match(causes, [{ message: 'no luck' }, { message: 'no luck' }, { message: 'no luck' }])
  t.same(await verifier.verify(jobs), expected, 'and goes on doing it')
  await verifier.close()

  const silent = createVerifier({ threads: 1, start })
  t.same(await silent.verify(jobs), expected)
})

t.test('ED-9 closing ends the threads and loses nothing', async (t) => {
  const { jobs, expected } = makeJobs(1000)
  const done = shared.verify(jobs)
  await turn()
  await turn()
  await shared.close()
  t.same(await done, expected, 'what was under way')
  t.same(await shared.verify(jobs.slice(0, 40)), expected.slice(0, 40), 'what comes later')
  await shared.close()
})

t.test('ED-10 batches cover every job once and in order', async (t) => {
  const { jobs, expected } = makeJobs(100)
  const calls = [jobs.slice(0, 7), jobs.slice(7, 60), jobs.slice(60)].map((some) => ({ jobs: some, answers: some.map(() => false), left: some.length, resolve: () => { resolved++ } }))
  let resolved = 0
  const parts = calls.map((call) => ({ call, from: 0, to: call.jobs.length }))
  const batches: Batch[] = cut(parts, 16)
  t.same(batches.map(size), [16, 16, 16, 16, 16, 16, 4])
  const check = createSignatureCheck()
  for (const batch of batches) {
    const items = packBatch(batch)
    answerItems(items, check)
    settleBatch(batch, items)
  }
  t.same(calls.flatMap(({ answers }) => answers), expected)
  t.equal(resolved, 3)
})
