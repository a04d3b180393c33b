import 'fake-indexeddb/auto'
import { IDBObjectStore, indexedDB } from 'fake-indexeddb'
import t from 'tap'
import { createLocks, platformLocks } from '../../lib/client/locks.js'
import { browserStorage } from '../../lib/client/storage-browser.js'
import { indexedLevel } from '../../lib/client/storage-indexeddb.js'
import { memoryStorage } from '../../lib/client/storage-memory.js'
import { createSigner } from '../../lib/crypto/ed25519.js'
import { toBase64 } from '../../lib/protocol/base64.js'
import { nobleBlake3 } from '../../lib/protocol/blake3.js'
import { encodeNode, encodeTransaction } from '../../lib/protocol/node.js'
import { encodePack } from '../../lib/protocol/pack.js'
import { toHex } from '../../lib/protocol/hex.js'
import { fakeLockManager } from './storage-tabs.js'
import { hexes, id, loaded, node } from './storage-nodes.js'

const NAME = 'nodalmerge-peer-local'
const { publicKey, sign } = createSigner(new Uint8Array(32).fill(3))

function signed (lamport: number, parents: Uint8Array[] = []): Uint8Array {
  const transaction = encodeTransaction({ author: publicKey, lamport, wallMs: 0, ops: [{ type: 'map-delete', key: 'k' }], parents })
  const hash = nobleBlake3.hash(transaction)
  return encodeNode(hash, transaction, sign(hash))
}

const spoilt = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, i) => i === at ? byte ^ 1 : byte)

/** The database of the original client, with these records. */
async function original (stores: string[], records: Array<[store: string, key: string, value: unknown]> = []): Promise<void> {
  await remove()
  await new Promise<void>((resolve, reject) => {
    const request = indexedDB.open(NAME, 1)
    request.onupgradeneeded = () => { for (const store of stores) request.result.createObjectStore(store) }
    request.onerror = reject
    request.onsuccess = () => {
      const db = request.result
      if (records.length === 0) { db.close(); resolve(); return }
      const transaction = db.transaction(stores, 'readwrite')
      for (const [store, key, value] of records) transaction.objectStore(store).put(value, key)
      transaction.oncomplete = () => { db.close(); resolve() }
    }
  })
}

function remove (): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(NAME)
    request.onsuccess = () => resolve()
    request.onerror = reject
  })
}

let names = 0
const storage = (name = `legacy ${names++}`) => browserStorage({ name, locks: createLocks() })

t.test('KY-35 the first opening of a room takes over what the original client kept of it, once', async (t) => {
  const nodes = [signed(1)]
  for (let i = 2; i <= 1200; i++) nodes.push(signed(i, [id(nodes[i - 2])]))
  const other = signed(5000)
  const blob = Uint8Array.of(1, 2, 3)
  const hash = toHex(nobleBlake3.hash(blob))
  const second = Uint8Array.of(4)
  await original(['nodes', 'blobs'], [
    ['nodes', 'r', toBase64(encodePack([...nodes].reverse()))],
    ['nodes', 's', toBase64(encodePack([other]))],
    ['blobs', `r:${hash}`, blob],
    ['blobs', `r:${toHex(nobleBlake3.hash(second))}`, second.buffer],
    ['blobs', `r:${'00'.repeat(32)}`, blob],
    ['blobs', `r:x:${hash}`, blob],
    ['blobs', `s:${hash}`, blob],
    ['blobs', `r:${'11'.repeat(32)}`, 'text']
  ])
  const name = `legacy ${names++}`
  for (let i = 0; i < 2; i++) {
    const room = await storage(name).open('r')
    t.same(hexes(await loaded(room)), hexes(nodes), 'parents first, and not again')
    t.same((await room.unsentBlobs()).sort(), [hash, toHex(nobleBlake3.hash(second))].sort())
    t.same([await room.blob(hash), await room.pending()], [blob, []])
    await room.close()
  }
  const room = await storage(name).open('s')
  t.same(hexes(await loaded(room)), hexes([other]))
  await room.close()
})

t.test('KY-36 what does not hold its id, its signature or its parents is not taken over', async (t) => {
  const good = [signed(1), signed(2)]
  const wrongHash = spoilt(signed(3), 70)
  const unsigned = signed(4)
  unsigned.fill(0, unsigned.length - 64)
  const nodes = [...good, good[0], wrongHash, unsigned, signed(5, [id(unsigned)]), signed(6, [id(good[0]), id(signed(99))]), signed(7, good.map(id))]
  await original(['nodes', 'blobs'], [['nodes', 'r', toBase64(encodePack(nodes))], ['nodes', 'bad', 'not base64!'], ['nodes', 'worse', 7]])
  const rooms = storage()
  const room = await rooms.open('r')
  t.same(hexes(await loaded(room)), hexes([...good, signed(7, good.map(id))]))
  await room.close()
  for (const name of ['bad', 'worse', 'missing']) {
    const empty = await rooms.open(name)
    t.same(await loaded(empty), [])
    await empty.close()
  }
})

t.test('KY-37 without that database none is made, and one of another shape or that cannot be read harms nothing', async (t) => {
  await remove()
  await (await storage().open('r')).close()
  t.notOk((await indexedDB.databases()).some(({ name }: { name: string }) => name === NAME))
  await original(['nodes'])
  await (await storage().open('r')).close()
  const { open } = indexedDB
  const name = `legacy ${names++}`
  await original(['nodes', 'blobs'], [['nodes', 'r', toBase64(encodePack([signed(1)]))]])
  indexedDB.open = function (wanted: string, version?: number) {
    if (wanted !== NAME) return open.call(this, wanted, version)
    return open.call(this, 'legacy of a newer version', 1)
  }
  const newer = open.call(indexedDB, 'legacy of a newer version', 2)
  await new Promise<void>((resolve) => { newer.onsuccess = () => { newer.result.close(); resolve() } })
  const room = await storage(name).open('r')
  t.same(await loaded(room), [])
  await room.close()
  indexedDB.open = open
  const { getAllKeys } = IDBObjectStore.prototype
  IDBObjectStore.prototype.getAllKeys = function (...args: unknown[]) {
    const request = getAllKeys.apply(this, args)
    if (this.name === 'blobs') this.transaction.abort()
    return request
  }
  await t.rejects(storage(name).open('r'), { code: 'client.storage' })
  IDBObjectStore.prototype.getAllKeys = getAllKeys
  const again = await storage(name).open('r')
  t.same(hexes(await loaded(again)), hexes([signed(1)]), 'the next opening tries again')
  await again.close()
})

t.test('KY-38 locks are shared or exclusive, wait in order, and are those of the platform where it has them', async (t) => {
  const locks = createLocks()
  const order: string[] = []
  const one = await locks.hold('a', { mode: 'shared' })
  const two = await locks.hold('a', { mode: 'shared' })
  t.equal(await locks.hold('a', { ifAvailable: true }), null)
  const waiting = [
    locks.hold('a').then(async (unlock) => { order.push('exclusive'); await unlock?.() }),
    locks.hold('a', { mode: 'shared' }).then(async (unlock) => { order.push('shared'); await unlock?.() })
  ]
  t.equal(await locks.hold('a', { mode: 'shared', ifAvailable: true }), null, 'nobody overtakes')
  await (await locks.hold('b'))?.()
  await one?.()
  t.same(order, [])
  await two?.()
  await Promise.all(waiting)
  t.same(order, ['exclusive', 'shared'])
  t.not(await locks.hold('a', { ifAvailable: true }), null)

  const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator')
  t.teardown(() => before === undefined ? Reflect.deleteProperty(globalThis, 'navigator') : Object.defineProperty(globalThis, 'navigator', before))
  Object.defineProperty(globalThis, 'navigator', { configurable: true, value: { locks: fakeLockManager() } })
  const given = new Uint8Array(32).fill(8)
  const rooms = [await memoryStorage().open('r'), await memoryStorage().open('r'), await browserStorage({ name: 'platform' }).open('r')]
  const seeds = await Promise.all(rooms.map((room) => room.identity(given)))
  t.equal(new Set(seeds.map(({ writer }) => String(writer))).size, 3, 'whatever storage they use')
  for (const room of rooms) await room.close()
  Object.defineProperty(globalThis, 'navigator', { configurable: true, value: {} })
  t.equal(platformLocks(), null)
})

t.test('KY-39 tabs that open a room for the first time at once agree on its identity', async (t) => {
  const locks = createLocks()
  const tabs = Array.from({ length: 5 }, () => browserStorage({ name: 'at once', locks }))
  const rooms = await Promise.all(tabs.map((tab) => tab.open('r')))
  const seeds = await Promise.all(rooms.map((room) => room.identity()))
  t.equal(new Set(seeds.map(({ identity }) => String(identity))).size, 1)
  t.equal(new Set(seeds.map(({ writer }) => String(writer))).size, 5)
  await Promise.all(rooms.map((room) => room.close()))
})

t.test('KY-44 a record in IndexedDB holds its own bytes only, and a failed transaction leaves nothing', async (t) => {
  const name = `legacy ${names++}`
  const room = await storage(name).open('r')
  const frame = new Uint8Array(1 << 20)
  frame.set(node(1), 1000)
  await room.write({ pending: [frame.subarray(1000, 1000 + node(1).length)] })
  const [kept] = await room.pending()
  t.equal(kept.buffer.byteLength, node(1).length)
  const { put } = IDBObjectStore.prototype
  t.teardown(() => { IDBObjectStore.prototype.put = put })
  const refused = { code: 'client.storage', cause: { name: 'DataCloneError' } }
  let left = 1
  IDBObjectStore.prototype.put = function (...args: unknown[]) {
    if (left-- === 0) throw new DOMException('too large', 'DataCloneError')
    return put.apply(this, args)
  }
  await t.rejects(room.write({ pending: [node(2), node(3)] }), refused)
  t.same(hexes(await room.pending()), hexes([node(1)]))
  IDBObjectStore.prototype.put = function (...args: unknown[]) {
    const request = put.apply(this, args)
    this.transaction.abort()
    return request
  }
  await t.rejects(room.write({ pending: [node(2)] }), { code: 'client.storage', cause: { message: 'the transaction was aborted' } })
  IDBObjectStore.prototype.put = put
  await room.write({ pending: [node(4)] })
  t.same(hexes(await room.pending()), hexes([node(1), node(4)]))
  await room.close()
})

t.test('KY-47 a database that is deleted under an open tab fails one call and is made anew', async (t) => {
  const name = `legacy ${names++}`
  const room = await storage(name).open('r')
  await room.write({ pending: [node(1)] })
  const reading = room.load()[Symbol.asyncIterator]()
  await new Promise<void>((resolve, reject) => {
    const request = indexedDB.deleteDatabase(name)
    request.onsuccess = () => resolve()
    request.onerror = reject
  })
  await t.rejects(room.pending(), { code: 'client.storage' })
  t.same(await room.pending(), [])
  await room.write({ pending: [node(2)] })
  t.same(hexes(await room.pending()), hexes([node(2)]))
  await room.close()
  await t.rejects(Promise.resolve(reading.next()), { code: 'client.storage' })
})

t.test('KY-48 a database that was never opened can be closed and says what it lacks', async (t) => {
  const level = indexedLevel('never opened')
  await t.rejects(level.get(Uint8Array.of(1)), { message: 'the database is not open' })
  await level.close()
})
