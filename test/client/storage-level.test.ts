import 'fake-indexeddb/auto'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { buildSync } from 'esbuild'
import t from 'tap'
import { createLocks, locksOf, noLocks } from '../../lib/client/locks.js'
import { browserStorage } from '../../lib/client/storage-browser.js'
import { folderStorage } from '../../lib/client/storage-folder.js'
import { levelStorage } from '../../lib/client/storage-level.js'
import { roomKeys, uint32 } from '../../lib/client/storage-keys.js'
import { scanPack } from '../../lib/protocol/pack.js'
import { faultyLevel } from './storage-faults.js'
import { chain, hexes, id, loaded, loadedPacks, node } from './storage-nodes.js'
import { fakeLockManager, tabLocks } from './storage-tabs.js'

const REFUSED = { name: 'NodalmergeError', code: 'client.storage', retry: true, statusCode: 507 }

function faulty () {
  const level = faultyLevel()
  return { level, storage: levelStorage({ name: 'faulty', connect: () => level, locks: createLocks() }) }
}

t.test('KY-13 two tabs on one database lose nothing of each other and see all of it after a reload', async (t) => {
  const manager = fakeLockManager()
  const tab = () => browserStorage({ name: 'tabs', locks: locksOf(manager) })
  const [a, b] = [await tab().open('r'), await tab().open('r')]
  const { identity, writer } = await a.identity()
  const second = await b.identity()
  t.same([writer, second.identity], [identity, identity])
  t.notSame(second.writer, identity)
  const [ofA, ofB] = [chain(60, 1, 1), chain(60, 1, 2)]
  for (let i = 0; i < 60; i += 3) {
    await Promise.all([[a, ofA] as const, [b, ofB] as const].map(async ([room, nodes]) => {
      await room.write({ pending: nodes.slice(i, i + 3) })
      await room.write({ confirmed: nodes.slice(i, i + 2) })
    }))
  }
  await Promise.all([a.close(), b.close()])
  const [again, beside] = [await tab().open('r'), await tab().open('r')]
  const waiting = [...ofA, ...ofB].filter((_, i) => i % 3 === 2)
  for (const room of [again, beside]) {
    t.same(new Set(hexes(await room.pending())), new Set(hexes(waiting)))
    t.same(new Set(hexes(await loaded(room))), new Set(hexes([...ofA, ...ofB].filter((_, i) => i % 3 !== 2))))
  }
  t.same((await again.identity()).writer, identity, 'the lock went with the tab')
  await beside.write({ confirmed: waiting })
  t.same(await again.pending(), [])
  await again.close()
  await beside.close()
})

t.test('KY-14 in the order of loading parents come first, whichever tab wrote them', async (t) => {
  const locks = tabLocks()
  const tab = () => browserStorage({ name: 'order', locks })
  const nodes = chain(40)
  const first = await tab().open('r')
  await first.write({ confirmed: nodes.slice(0, 10) })
  const second = await tab().open('r')
  t.equal((await loaded(second)).length, 10)
  await second.write({ confirmed: nodes.slice(10, 20) })
  const third = await tab().open('r')
  t.equal((await loaded(third)).length, 20)
  await third.write({ confirmed: nodes.slice(20, 30) })
  await third.write({ confirmed: nodes.slice(30) })
  await Promise.all([first, second, third].map((room) => room.close()))
  const again = await tab().open('r')
  t.same(hexes(await loaded(again)), hexes(nodes))
  await again.close()
})

t.test('KY-15 a page without locks writes with a fresh seed each time and leaves chunks as they are', async (t) => {
  const tab = () => browserStorage({ name: 'insecure', locks: noLocks })
  const writers = new Set<string>()
  let identity: Uint8Array | null = null
  for (let i = 0; i < 3; i++) {
    const room = await tab().open('r')
    for (const each of chain(10, 10 * i)) await room.write({ confirmed: [each] })
    const seeds = await room.identity()
    identity ??= seeds.identity
    t.same(seeds.identity, identity)
    writers.add(String(seeds.writer)).add(String(identity))
    t.equal((await loadedPacks(room)).length, 10 * (i + 1))
    await room.close()
  }
  t.equal(writers.size, 4)
  const refusing = { request: async () => { throw new Error('SecurityError') } }
  t.equal(await locksOf(refusing).hold('x'), null)
})

t.test('KY-16 a failing storage rejects with its code, keeps what it had, and works again afterwards', async (t) => {
  const { level, storage } = faulty()
  const room = await storage.open('r')
  const nodes = chain(6)
  await room.write({ pending: nodes.slice(0, 2) })
  level.fail = ['lost']
  await t.rejects(room.write({ pending: nodes.slice(2, 4), confirmed: [nodes[0]] }), REFUSED)
  t.same(hexes(await room.pending()), hexes(nodes.slice(0, 2)))
  t.same(await loaded(room), [])
  t.equal(level.opened, 2, 'it was opened anew before it was used again')
  const beside = await storage.open('s')
  level.fail = ['nextv']
  await t.rejects(beside.write({ confirmed: [nodes[0]] }), REFUSED)
  await Promise.all([room.blob('00'.repeat(32)), room.pending(), loaded(room), beside.pending()])
  await beside.write({ confirmed: [nodes[0]] })
  t.equal((await loaded(beside)).length, 1)
  await beside.close()
  t.equal(level.opened, 3, 'once for all that wait')
  level.fail = ['lost', 'open']
  await t.rejects(room.write({ pending: [nodes[2]] }), REFUSED)
  await t.rejects(room.write({ pending: [nodes[2]] }), REFUSED)
  await room.write({ pending: [nodes[2]], confirmed: nodes.slice(0, 1) })
  t.same(hexes(await room.pending()), hexes(nodes.slice(1, 3)))
  const calls: Array<['get' | 'nextv' | 'clear' | 'close', () => Promise<unknown>]> = [
    ['get', () => room.blob('00'.repeat(32))], ['nextv', () => room.pending()], ['clear', () => room.clear()], ['close', () => room.close()]
  ]
  for (const [call, run] of calls) {
    level.fail = [call]
    await t.rejects(run(), REFUSED)
  }
})

t.test('KY-17 a write that failed and was kept all the same loses nothing of later ones', async (t) => {
  const { level, storage } = faulty()
  const room = await storage.open('r')
  const nodes = chain(4)
  await room.write({ pending: nodes })
  level.fail = ['kept']
  await t.rejects(room.write({ confirmed: nodes.slice(0, 2) }), REFUSED)
  await room.write({ confirmed: nodes.slice(2) })
  t.same(hexes(await loaded(room)), hexes(nodes))
  t.same(await room.pending(), [])
})

t.test('KY-18 a storage that cannot be opened says so and can be opened later', async (t) => {
  const { level, storage } = faulty()
  for (const fail of ['open', 'get', 'lost', 'nextv'] as const) {
    level.fail = [fail]
    await t.rejects(storage.open('r'), REFUSED)
    t.same(level.fail, [])
  }
  level.fail = ['nextv']
  const room = await storage.open('r').catch(() => storage.open('r'))
  await room.write({ pending: [node(1)] })
  level.fail = ['lost', 'lost']
  await t.rejects(room.identity(), REFUSED)
  const { writer, identity } = await room.identity().catch(() => room.identity())
  t.same(writer, identity, 'the lock of a claim that failed was given back')
  await room.close()
  await t.rejects(storage.open('x'.repeat(1025)), RangeError)
})

t.test('KY-19 data of a newer version are left alone', async (t) => {
  const { level, storage } = faulty()
  await level.open()
  await level.batch([{ type: 'put', key: Uint8Array.of(255, 255), value: Uint8Array.of(2) }], { sync: true })
  await level.close()
  await t.rejects(storage.open('r'), { ...REFUSED, message: /newer version/ })
})

t.test('KY-45 a pending record that is no node is told, and does not pass for one', async (t) => {
  const { level, storage } = faulty()
  const room = await storage.open('r')
  await room.write({ pending: [node(1)] })
  await level.batch([{ type: 'put', key: roomKeys('r').pendingNode(id(node(2))), value: node(2).slice(0, 140) }], { sync: true })
  await t.rejects(room.pending(), { ...REFUSED, cause: { code: 'reject.protocol_invalid_message' } })
})

t.test('KY-20 pending nodes are on the disk before a write resolves, confirmed ones need not be', async (t) => {
  const { level, storage } = faulty()
  const room = await storage.open('r')
  level.batches.length = 0
  await room.write({ pending: [node(1)] })
  await room.write({ confirmed: [node(1)] })
  await room.write({ pending: [node(2)], confirmed: [node(3)] })
  await room.write({ dropped: [id(node(2))] })
  t.same(level.batches, [{ sync: true, deleted: 0 }, { sync: false, deleted: 1 }, { sync: true, deleted: 0 }, { sync: false, deleted: 1 }])
})

t.test('KY-49 a catch-up looks for none of its nodes among the pending ones, save those that were', async (t) => {
  const { level, storage } = faulty()
  const room = await storage.open('r')
  const nodes = chain(50)
  await room.write({ pending: nodes.slice(0, 3) })
  for (let i = 0; i < 2; i++) await room.write({ confirmed: nodes })
  t.same(level.batches.slice(-2).map(({ deleted }) => deleted), [3, 0])
})

t.test('KY-21 small chunks are merged when a room is opened alone, each node once and in order', async (t) => {
  const locks = createLocks()
  const level = faultyLevel()
  const storage = levelStorage({ name: 'merged', connect: () => level, locks })
  const nodes = chain(300)
  const large = node(1000, { bytes: 300_000 })
  const first = await storage.open('r')
  for (const each of nodes.slice(0, 200)) await first.write({ confirmed: [each] })
  await first.write({ confirmed: [large] })
  for (const each of [...nodes.slice(190), ...nodes.slice(290)]) await first.write({ confirmed: [each] })
  const beside = await storage.open('r')
  t.equal((await loadedPacks(beside)).length, 321, 'others may be reading')
  await first.close()
  await beside.close()
  const alone = await storage.open('r')
  t.equal((await loadedPacks(alone)).length, 3)
  t.same(hexes(await loaded(alone)), hexes([...nodes.slice(0, 200), large, ...nodes.slice(190)]))
  for (const each of chain(7, 5000, 3)) await alone.write({ confirmed: [each] })
  await alone.close()
  const again = await storage.open('r')
  t.equal((await loadedPacks(again)).length, 3, 'eight chunks in a row, the last merged one among them')
  await again.close()
})

t.test('KY-22 a merge stops at four megabytes and goes on at the next opening; what it cannot read it leaves', async (t) => {
  const level = faultyLevel()
  const storage = levelStorage({ name: 'merged', connect: () => level, locks: createLocks() })
  const room = await storage.open('r')
  for (let i = 1; i <= 200; i++) await room.write({ confirmed: [node(i, { bytes: 30_000 })] })
  await room.close()
  const counts: number[] = []
  for (let i = 0; i < 3; i++) {
    const again = await storage.open('r')
    counts.push((await loadedPacks(again)).length)
    t.equal((await loaded(again)).length, 200)
    await again.close()
  }
  t.same(counts, [74, 25, 25])
  const broken = await storage.open('broken')
  const { chunk } = roomKeys('broken')
  await level.batch(Array.from({ length: 9 }, (_, i) => ({ type: 'put', key: chunk(new Uint8Array([...uint32(1), ...new Uint8Array(8), ...uint32(i)]), 3), value: Uint8Array.of(9, 9, i) } as const)), { sync: false })
  await broken.close()
  const after = await storage.open('broken')
  t.equal((await loadedPacks(after)).length, 9)
  await after.close()
})

t.test('KY-23 a long history is loaded as a stream of packs of bounded size', async (t) => {
  const storage = folderStorage({ path: t.testdir() })
  const room = await storage.open('r')
  const nodes = chain(20_000)
  await room.write({ confirmed: nodes })
  const packs = await loadedPacks(room)
  t.ok(packs.length > 10 && packs.length < 50, `${packs.length} packs`)
  t.ok(packs.every((pack) => pack.length < 257 * 1024))
  t.same(hexes(packs.flatMap(scanPack)), hexes(nodes))
  const stopped = room.load()[Symbol.asyncIterator]()
  t.notOk((await stopped.next()).done, 'a reader may stop early')
  await stopped.return?.()
  const reading = room.load()[Symbol.asyncIterator]()
  await reading.next()
  await room.close()
  await t.rejects(Promise.resolve(reading.next()).then(() => reading.next()).then(async () => { for (;;) if ((await reading.next()).done === true) return }), REFUSED, 'closed while it was read')
})

t.test('KY-24 what a write has resolved for survives kill -9 at any instant, and the folder opens', async (t) => {
  const path = t.testdir()
  const child = `${path}/child.mjs`
  buildSync({ entryPoints: [`${import.meta.dirname}/storage-child.ts`], outfile: child, bundle: true, platform: 'node', format: 'esm', packages: 'external' })
  let identity = ''
  let state = 20_240_607
  for (let round = 0; round < 6; round++) {
    state = state * 48_271 % 2_147_483_647
    const kill = 2 + state % 300
    const process_ = spawn('/bin/sh', ['-c', 'unset NODE_OPTIONS; exec "$0" "$@"', process.execPath, child, `${path}/data`], { stdio: ['ignore', 'pipe', 'inherit'] })
    const lines: string[] = []
    for await (const line of createInterface(process_.stdout)) if (lines.push(line) === kill) process_.kill('SIGKILL')
    const [seed, ...start] = lines[0].split(' ')
    if (identity === '') identity = seed
    t.equal(seed, identity)
    const [written, confirmed] = (lines.length > 1 ? lines[lines.length - 1].split(' ') : start).map(Number)
    const room = await folderStorage({ path: `${path}/data` }).open('r')
    const [kept, pending] = [hexes(await loaded(room)), hexes(await room.pending())]
    t.ok(kept.length >= confirmed && kept.length <= confirmed + 2, `${kept.length} confirmed, told ${confirmed}`)
    t.ok(kept.length + pending.length >= written && kept.length + pending.length <= written + 3, `${kept.length + pending.length} in all, told ${written}`)
    t.same([...kept, ...pending], hexes(Array.from({ length: kept.length + pending.length }, (_, i) => node(i + 1))), 'none lost, none twice')
    await room.close()
  }
})

t.test('KY-25 a folder belongs to one storage at a time', async (t) => {
  const path = t.testdir()
  const [one, other] = [folderStorage({ path }), folderStorage({ path })]
  const rooms = [await one.open('a'), await one.open('b')]
  await t.rejects(other.open('a'), REFUSED)
  await rooms[0].close()
  await t.rejects(other.open('a'), REFUSED)
  await rooms[1].close()
  await (await other.open('a')).close()
  t.throws(() => folderStorage({ path: '' }), RangeError)
  t.throws(() => folderStorage({} as unknown as { path: string }), TypeError)
  t.throws(() => browserStorage({ name: '' }), RangeError)
  t.throws(() => browserStorage({ name: 1 as unknown as string }), TypeError)
  await (await browserStorage().open('a')).close()
})
