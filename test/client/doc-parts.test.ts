import t from 'tap'
import { createFollowing } from '../../lib/client/following.js'
import { createHash } from '../../lib/client/hash.js'
import { memoryStorage } from '../../lib/client/index.js'
import { watchPage } from '../../lib/client/page.js'
import { nobleBlake3 } from '../../lib/protocol/blake3.js'
import { host } from '../plugin/host.js'
import { open, until, wire } from './doc-rig.js'

const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

t.test('DO-17 typing is handed over when the page may be about to go', (t) => {
  const page = new EventTarget()
  let left = 0
  const stop = watchPage(() => { left++ }, page)
  for (const type of ['pagehide', 'visibilitychange', 'blur']) page.dispatchEvent(new Event(type))
  t.equal(left, 3)
  stop()
  page.dispatchEvent(new Event('pagehide'))
  t.equal(left, 3)
  watchPage(() => { left++ }, {})()
  t.end()
})

t.test('DO-18 hashing is there at once, and goes on in plain when the fast way cannot be had', async (t) => {
  const fast = { hash: () => new Uint8Array(32).fill(9), keyed: nobleBlake3.keyed }
  const hash = createHash(async () => fast)
  t.same(hash.hash(new Uint8Array(3)), nobleBlake3.hash(new Uint8Array(3)))
  await hash.ready
  t.same(hash.hash(new Uint8Array(3)), fast.hash())
  const slow = createHash(async () => { throw new Error('there is no network') })
  await slow.ready
  t.same(slow.hash(new Uint8Array(3)), nobleBlake3.hash(new Uint8Array(3)))
  const own = createHash()
  await own.ready
  const key = new Uint8Array(32).fill(1)
  t.same(own.keyed(key)(new Uint8Array(70)), nobleBlake3.keyed(key)(new Uint8Array(70)))
})

t.test('DO-20 whoever follows a part has all of it, in order, and is in sync without the rest', async (t) => {
  const { url } = await host(t)
  const all = await open(t, { url, room: 'plans' })
  await all.whenSynced()
  const write = (): void => {
    for (const word of ['one ', 'two ', 'three ']) {
      all.text('in/text').insert(all.text('in/text').length, word)
      all.text('out/text').insert(0, word)
      all.map('out').set('k', word)
    }
    all.list('in/list').push('item')
  }
  write()
  all.map('out').set('last', 'outside')
  await all.flush()
  const part = await open(t, { url, room: 'plans', subscribe: ['in/**'] })
  await part.whenSynced({ timeout: 5000 })
  t.equal(part.text('in/text').toString(), 'one two three ')
  t.equal(part.map('out').get('last'), undefined)
  t.throws(() => part.text('out/text'), { code: 'client.out_of_scope' })
  t.throws(() => part.list('out/list'), { code: 'client.out_of_scope' })
  t.throws(() => part.text(5 as unknown as string), TypeError)
  write()
  part.text('in/text').insert(0, '> ')
  await Promise.all([all.flush(), part.flush()])
  await until(part, () => part.list('in/list').length === 2 && part.text('in/text').length === 30, 'live')
  await until(all, () => all.text('in/text').length === 30, 'live')
  t.equal(part.text('in/text').toString(), all.text('in/text').toString())
  await part.whenSynced({ timeout: 5000 })
})

t.test('DO-21 widening brings the history of what is followed now, and uploads nothing again', async (t) => {
  const { url } = await host(t)
  const all = await open(t, { url, room: 'plans' })
  for (let i = 0; i < 20; i++) {
    all.text('a/text').insert(0, 'a')
    all.text('b/text').insert(0, 'b')
    all.text('c/text').insert(0, 'c')
  }
  all.map('z').set('k', 1)
  await all.flush()
  const way = wire()
  const part = await open(t, { url, room: 'plans', subscribe: ['b/*'], webSocket: way.Socket })
  await part.whenSynced({ timeout: 5000 })
  t.equal(part.text('b/text').toString(), 'b'.repeat(20))
  part.subscribe(['b/*', 'c/*', 'z/*'])
  await turn()
  t.equal(part.status.get().synced, false)
  await part.whenSynced({ timeout: 5000 })
  t.equal(part.text('c/text').toString(), 'c'.repeat(20))
  t.equal(part.map('z').get('k'), 1)
  part.subscribe(['b/*', 'z/*'])
  t.throws(() => part.text('c/text'), { code: 'client.out_of_scope' })
  all.text('b/text').insert(0, 'b')
  all.map('z').set('k', 2)
  await until(part, () => part.map('z').get('k') === 2 && part.text('b/text').length === 21, 'goes on')
  part.subscribe([])
  await part.whenSynced({ timeout: 5000 })
  t.equal(part.text('a/text').toString(), 'a'.repeat(20))
  all.text('a/text').insert(0, 'a')
  await until(part, () => part.text('a/text').length === 21, 'everything')
  t.equal(way.sent.filter(({ type }) => type === 'pack').length, 0)
  t.equal(way.sent.filter(({ type }) => type === 'hello').length, 3)
  part.disconnect()
  part.subscribe(['a/*'])
  part.subscribe(['a/*', 'b/*'])
  await turn()
  t.equal(part.status.get().connection, 'offline', 'nobody asked for a connection')
  part.connect()
  await part.whenSynced({ timeout: 5000 })
})

t.test('DO-22 a long history of a part is in sync only when all of it is here, and after a reload nothing is sent again', async (t) => {
  const { url } = await host(t, { limits: { frameBytes: 4096 } })
  const all = await open(t, { url, room: 'plans' })
  for (let i = 0; i < 300; i++) {
    all.map('in').set(`k${i}`, 'x'.repeat(500))
    all.map('out').set(`k${i}`, 'x')
  }
  await all.flush()
  const storage = memoryStorage()
  const part = await open(t, { url, room: 'plans', subscribe: ['in/**'], storage })
  await part.whenSynced({ timeout: 5000 })
  t.equal(part.map('in').size, 300)
  await part.close()
  all.map('out').set('more', 1)
  await all.flush()
  const way = wire()
  const again = await open(t, { url, room: 'plans', subscribe: ['in/**'], storage, webSocket: way.Socket })
  t.equal(again.map('in').size, 300)
  again.map('in').set('mine', 1)
  await again.whenSynced({ timeout: 5000 })
  await until(all, () => all.map('in').get('mine') === 1, 'what was written')
  t.equal(way.sent.filter(({ type }) => type === 'pack').length, 1)
})

t.test('DO-22 the patterns are confirmed again as long as history comes', (t) => {
  let asked = 0
  let arrived = 0
  const following = createFollowing(['in/**'], () => { asked++; return true }, () => { arrived++ })
  following.ask()
  following.pack('server')
  following.acknowledged()
  t.same([asked, arrived], [2, 0])
  following.pack('server')
  following.pack('ab'.repeat(32))
  following.acknowledged()
  t.same([asked, arrived], [3, 0])
  following.pack('ab'.repeat(32))
  following.acknowledged()
  t.same([asked, arrived], [3, 1], 'what peers write is no history')
  following.acknowledged()
  t.same([asked, arrived], [3, 1])
  t.equal(following.replace(['in/x']), true, 'patterns are compared by their text')
  t.equal(following.replace([]), true)
  t.same(following.patterns, undefined)
  following.ask()
  t.equal(asked, 3, 'with everything the frontier tells')
  t.equal(following.replace(['a', 'b']), false)
  following.ask()
  t.equal(following.replace(['b']), false)
  following.ask()
  t.equal(asked, 5)
  t.end()
})

t.test('DO-23 a refused subscription leaves the document out of sync, and says so', async (t) => {
  const { url } = await host(t, {
    authorize: (_asker, action) => action.type !== 'read' || !action.patterns.includes('secret/**') || { refused: 'not for you' }
  })
  const doc = await open(t, { url, room: 'plans', subscribe: ['in/**'] })
  await doc.whenSynced({ timeout: 5000 })
  doc.subscribe(['in/**', 'secret/**'])
  await t.rejects(doc.whenSynced({ timeout: 5000 }), { code: 'client.denied' })
})
