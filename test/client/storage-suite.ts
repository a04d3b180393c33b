import type { Test } from 'tap'
import type { Storage } from '../../lib/client/storage.js'
import { chain, hexes, id, loaded, node } from './storage-nodes.js'

export interface Subject {
  storage: Storage
  /** The same data after a restart; the old storage's rooms are closed. Storage that lasts as long as its object answers itself. */
  reopened (): Storage
}

const HASH = 'ab'.repeat(32)
const OTHER = '0C'.repeat(32)

/** What every storage has to keep to; `make` gives an empty one. */
export async function storageRules (t: Test, make: (t: Test) => Subject): Promise<void> {
  await t.test('KY-1 a room is empty at first, and rooms do not see each other', async (t) => {
    const { storage } = make(t)
    const names = ['', 'a', 'ab', 'b', 'a/b', 'ä\u0000']
    for (const name of names) {
      const room = await storage.open(name)
      t.strictSame([await loaded(room), await room.pending(), await room.unsentBlobs(), await room.blob(HASH)], [[], [], [], null])
      await room.write({ pending: [node(1 + names.indexOf(name))] })
      await room.close()
    }
    for (const name of names) {
      const room = await storage.open(name)
      t.same(hexes(await room.pending()), hexes([node(1 + names.indexOf(name))]))
      await room.close()
    }
  })

  await t.test('KY-2 pending nodes come back whole after a restart, parents before children', async (t) => {
    const { storage, reopened } = make(t)
    const room = await storage.open('r')
    const nodes = chain(300)
    for (let i = 300; i > 0; i -= 100) await room.write({ pending: nodes.slice(i - 100, i) })
    await room.close()
    const again = await reopened().open('r')
    t.same((await again.pending()).map((bytes) => Uint8Array.from(bytes)), nodes)
    t.same(await loaded(again), [])
    await again.close()
  })

  await t.test('KY-3 confirmed nodes come back in the order in which they were written and are no longer pending', async (t) => {
    const { storage, reopened } = make(t)
    const room = await storage.open('r')
    const own = chain(20)
    const others = chain(40, 100, 2)
    await room.write({ pending: own })
    await room.write({ confirmed: others.slice(0, 30) })
    await room.write({ confirmed: own.slice(0, 5), pending: [node(50)] })
    await room.write({ confirmed: others.slice(30) })
    t.same(hexes(await room.pending()), hexes([...own.slice(5), node(50)]))
    await room.close()
    const again = await reopened().open('r')
    t.same(hexes(await again.pending()), hexes([...own.slice(5), node(50)]))
    t.same(hexes(await loaded(again)), hexes([...others.slice(0, 30), ...own.slice(0, 5), ...others.slice(30)]))
    await again.write({ confirmed: own.slice(5, 10) })
    t.same(hexes(await again.pending()), hexes([...own.slice(10), node(50)]), 'those of the time before too')
    await again.close()
  })

  await t.test('KY-4 dropped nodes are no longer pending, and nothing is kept of them', async (t) => {
    const { storage, reopened } = make(t)
    const room = await storage.open('r')
    const own = chain(3)
    await room.write({ pending: own })
    await room.write({ dropped: [id(own[1])], pending: [node(9)] })
    await room.write({ dropped: [id(own[1]), id(node(77))] })
    await room.write({})
    await room.close()
    const again = await reopened().open('r')
    t.same(hexes(await again.pending()), hexes([own[0], own[2], node(9)]))
    t.same(await loaded(again), [])
    await again.close()
  })

  await t.test('KY-5 what is no node and no id is refused before anything is written', async (t) => {
    const { storage } = make(t)
    const room = await storage.open('r')
    await t.rejects(room.write({ pending: [node(1), new Uint8Array(131)] }), RangeError)
    await t.rejects(room.write({ confirmed: [new Uint8Array(1)] }), RangeError)
    await t.rejects(room.write({ dropped: [new Uint8Array(31)] }), RangeError)
    for (const hash of ['', 'xy'.repeat(32), 'ab']) {
      await t.rejects(room.blob(hash), RangeError)
      await t.rejects(room.putBlob(hash, new Uint8Array(1), true), RangeError)
      await t.rejects(room.blobUploaded(hash), RangeError)
    }
    t.same(await room.pending(), [])
    await room.close()
    await t.rejects(storage.open(7 as unknown as string), TypeError)
  })

  await t.test('KY-6 blobs come back with the mark of those that no server has', async (t) => {
    const { storage, reopened } = make(t)
    const room = await storage.open('r')
    await room.putBlob(HASH, Uint8Array.of(1, 2, 3), false)
    await room.putBlob(OTHER, new Uint8Array(), true)
    t.same(await room.unsentBlobs(), [HASH])
    await room.close()
    const again = await reopened().open('r')
    t.same([...await again.blob(HASH.toUpperCase()) ?? []], [1, 2, 3])
    t.equal((await again.blob(OTHER))?.length, 0)
    t.same(await again.unsentBlobs(), [HASH])
    await again.blobUploaded(HASH)
    t.same(await again.unsentBlobs(), [])
    await again.putBlob(HASH, Uint8Array.of(4), false)
    await again.putBlob(HASH, Uint8Array.of(4), true)
    t.same(await again.unsentBlobs(), [])
    await again.close()
  })

  await t.test('KY-7 the identity of a room stays the same, and each open handle writes with a seed of its own', async (t) => {
    const { storage, reopened } = make(t)
    const first = await storage.open('r')
    const { identity, writer } = await first.identity()
    t.equal(identity.length, 32)
    t.same(writer, identity)
    t.same(await first.identity(), { identity, writer }, 'asked twice')
    const second = await storage.open('r')
    const other = await second.identity()
    t.same(other.identity, identity)
    t.notSame(other.writer, identity)
    const elsewhere = await storage.open('s')
    t.notSame((await elsewhere.identity()).identity, identity)
    for (const room of [first, second, elsewhere]) await room.close()
    const again = await reopened().open('r')
    t.same(await again.identity(), { identity, writer: identity })
    await again.close()
  })

  await t.test('KY-8 the seed of a further tab is used again, so that the number of writers stays small', async (t) => {
    const { storage } = make(t)
    const writers = new Set<string>()
    const keep = await storage.open('r')
    await keep.identity()
    for (let i = 0; i < 3; i++) {
      const room = await storage.open('r')
      writers.add(String((await room.identity()).writer))
      await room.close()
    }
    t.equal(writers.size, 1)
    await keep.close()
  })

  await t.test('KY-9 a given seed is the identity, and held like one', async (t) => {
    const { storage } = make(t)
    const given = new Uint8Array(32).fill(5)
    const first = await storage.open('r')
    const second = await storage.open('r')
    t.same(await first.identity(given), { identity: given, writer: given })
    t.same((await second.identity(given)).identity, given)
    t.notSame((await second.identity(given)).writer, given)
    await t.rejects(first.identity(new Uint8Array(31)), RangeError)
    await first.close()
    await second.close()
    const again = await storage.open('r')
    t.notSame((await again.identity()).identity, given, 'it is not kept')
    await again.close()
  })

  await t.test('KY-10 clearing forgets everything of the room and nothing of others', async (t) => {
    const { storage, reopened } = make(t)
    const room = await storage.open('r')
    const beside = await storage.open('rr')
    const { identity } = await room.identity()
    await room.write({ pending: [node(1)], confirmed: [node(2)] })
    await beside.write({ pending: [node(1)], confirmed: [node(2)] })
    await room.putBlob(HASH, Uint8Array.of(1), false)
    await room.clear()
    t.notSame((await room.identity()).identity, identity)
    await room.write({ confirmed: [node(3)] })
    await room.close()
    await beside.close()
    const storageAgain = reopened()
    const [again, besideAgain] = [await storageAgain.open('r'), await storageAgain.open('rr')]
    t.same(hexes(await loaded(again)), hexes([node(3)]))
    t.same([await again.pending(), await again.blob(HASH), await again.unsentBlobs()], [[], null, []])
    t.same([hexes(await loaded(besideAgain)), hexes(await besideAgain.pending())], [hexes([node(2)]), hexes([node(1)])])
    await again.close()
    await besideAgain.close()
  })

  await t.test('KY-11 closing waits for what was begun, once; afterwards everything is refused', async (t) => {
    const { storage, reopened } = make(t)
    const room = await storage.open('r')
    const writing = [1, 2, 3].map((n) => room.write({ pending: [node(n)] }))
    await Promise.all([room.close(), room.close(), ...writing])
    const refused = { name: 'NodalmergeError', code: 'client.storage' }
    const lates: Array<() => Promise<unknown>> = [
      () => room.pending(), () => room.write({}), () => room.identity(), () => room.blob(HASH), () => room.unsentBlobs(), () => room.clear(),
      () => room.putBlob(HASH, Uint8Array.of(1), true), () => room.blobUploaded(HASH), () => loaded(room)
    ]
    for (const late of lates) await t.rejects(late(), refused)
    const again = await reopened().open('r')
    t.equal((await again.pending()).length, 3)
    await again.close()
  })

  await t.test('KY-12 the bytes handed over and handed out are not shared', async (t) => {
    const { storage } = make(t)
    const room = await storage.open('r')
    const frame = new Uint8Array(1000)
    frame.set(node(1), 500)
    const view = frame.subarray(500, 500 + node(1).length)
    await room.write({ pending: [view] })
    await room.putBlob(HASH, view, true)
    frame.fill(0)
    t.same(hexes(await room.pending()), hexes([node(1)]))
    t.same(await room.blob(HASH).then((bytes) => bytes?.slice()), node(1))
    await room.close()
  })
}
