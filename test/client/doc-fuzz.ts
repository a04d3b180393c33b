import assert from 'node:assert/strict'
import type { Test } from 'tap'
import { type Doc, type Rejection, type Storage, type UndoManager, createDoc, memoryStorage } from '../../lib/client/index.js'
import { createSigner } from '../../lib/crypto/ed25519.js'
import type { Document } from '../../lib/state/document.js'
import { type Host, seeded } from '../plugin/host.js'
import { until } from './doc-rig.js'

/** A peer that lives through partitions and reloads. */
export interface Fuzzer {
  doc: Doc
  undo: UndoManager
  readonly storage: Storage
  readonly rejections: Rejection[]
  readonly errors: unknown[]
  /** Closes the document and opens it again on what it stored. */
  reload (): Promise<void>
}

const LETTERS = ['a', 'b', 'cd', 'efghij', '😀', '\ud800', '\n', 'é']
const TEXTS = ['t/one', 't/two', 'denied/text']
const LISTS = ['l/one', 'l/two']
const SPACES = ['m/one', 'm/two', 'denied', 'mine']

export const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

export const seedOf = (room: number, peer: number): Uint8Array => new Uint8Array(32).fill(peer + 1).fill(room % 256, 0, 1).fill(room >> 8, 1, 2)

/** Keys below `denied` are nobody's, those below `mine` are the first peer's. */
export async function restrict (host: Host, room: string, first: Uint8Array): Promise<void> {
  const { publicKey } = createSigner(first)
  await host.app.nodalmerge.room(room).setPolicy({ rules: [{ path: 'denied/**', write: [] }, { path: 'mine/**', write: [publicKey] }] })
}

export async function fuzzer (t: Test, url: string, room: string, identity: Uint8Array): Promise<Fuzzer> {
  const storage = memoryStorage()
  const rejections: Rejection[] = []
  const errors: unknown[] = []
  const start = async (connect: boolean): Promise<{ doc: Doc, undo: UndoManager }> => {
    const doc = await createDoc({ url, room, storage, identity, connect, flushMs: 2, reconnect: { minMs: 5, maxMs: 20 } })
    doc.on('rejection', (rejection) => { rejections.push(rejection) })
    doc.on('error', (error) => { errors.push(error) })
    return { doc, undo: doc.undoManager({ captureTimeout: 0 }) }
  }
  const self: Fuzzer = {
    ...await start(true),
    storage,
    rejections,
    errors,
    async reload () {
      const { connection } = self.doc.status.get()
      await self.doc.close()
      Object.assign(self, await start(connection !== 'offline'))
    }
  }
  t.teardown(() => self.doc.close())
  return self
}

/** One edit, at random. */
export function edit ({ doc, undo }: Fuzzer, random: (below: number) => number): void {
  const pick = <T>(from: readonly T[]): T => from[random(from.length)]
  switch (random(12)) {
    case 0: case 1: case 2: {
      const text = doc.text(pick(TEXTS))
      return text.insert(random(text.length + 2), pick(LETTERS))
    }
    case 3: {
      const text = doc.text(pick(TEXTS))
      return text.delete(random(text.length + 1), 1 + random(5))
    }
    case 4: case 5: return doc.map(pick(SPACES)).set(`k${random(5)}`, random(1000))
    case 6: {
      doc.map(pick(SPACES)).delete(`k${random(5)}`)
      return
    }
    case 7: {
      doc.list(pick(LISTS)).insert(random(5), random(1000))
      return
    }
    case 8: {
      const list = doc.list(pick(LISTS))
      const id = pick(list.ids())
      if (id !== undefined) list.move(id, random(list.length))
      return
    }
    case 9: {
      const list = doc.list(pick(LISTS))
      const id = pick(list.ids())
      if (id === undefined) return
      if (random(2) === 0) list.delete(id)
      else list.update(id, random(1000))
      return
    }
    case 10: {
      if (random(3) === 0) undo.redo()
      else undo.undo()
      return
    }
    default: return doc.transact(() => { for (let i = 0; i < 3; i++) edit({ doc, undo } as Fuzzer, (below) => below === 12 ? random(10) : random(below)) })
  }
}

/** All that can be read. */
export function shown (doc: Pick<Doc, 'map' | 'text' | 'list'> | Doc['canonical']): object {
  return {
    maps: SPACES.map((space) => doc.map(space).entries().sort()),
    texts: TEXTS.map((key) => doc.text(key).toString()),
    lists: LISTS.map((key) => [...doc.list(key)])
  }
}

/** The same of a room's state on the server. */
export function held (state: Document): object {
  const decoder = new TextDecoder()
  const json = (path: string): unknown => JSON.parse(decoder.decode(state.map.get(path))) as unknown
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  return {
    maps: SPACES.map((space) => [...state.map.entriesUnder(`${space}/`)].map(([path]) => [path.slice(space.length + 1), json(path)]).sort()),
    texts: TEXTS.map((key) => state.text(key).toString()),
    lists: LISTS.map((key) => state.list(key).items().map(({ id }) => ({ id: hex(id), content: json(`${key}/items/${hex(id)}`) })))
  }
}

/** Lets everybody come to the end, and checks that it is the same end. */
export async function settle (host: Host, room: string, peers: readonly Fuzzer[], round: number): Promise<void> {
  for (const { doc } of peers) doc.connect()
  await Promise.all(peers.map(({ doc }) => doc.flush({ timeout: 20_000 })))
  for (const [i, { doc }] of peers.entries()) doc.map('end').set(`p${i}`, round)
  await Promise.all(peers.map(({ doc }) => doc.flush({ timeout: 20_000 })))
  await Promise.all(peers.map(({ doc }) => doc.whenSynced({ timeout: 20_000 })))
  const complete = (doc: Doc): boolean => peers.every((_, i) => doc.map('end').get(`p${i}`) === round)
  await Promise.all(peers.map(({ doc }) => until(doc, () => complete(doc), 'everybody\'s last word')))
  const expected = held(await host.app.nodalmerge.room(room).state())
  for (const [i, { doc, errors }] of peers.entries()) {
    assert.deepEqual(errors, [], `peer ${i} hears of no fault`)
    assert.deepEqual(shown(doc), expected, `peer ${i} shows what the server holds`)
    assert.deepEqual(shown(doc.canonical), expected, `peer ${i} has it confirmed`)
  }
}

/** One history. */
export async function history (t: Test, host: Host, seed: number): Promise<{ edits: number, rejections: number }> {
  const random = seeded(seed)
  const room = `fuzz ${seed}`
  if (random(2) === 0) await restrict(host, room, seedOf(seed, 0))
  const peers: Fuzzer[] = []
  for (let i = 3 + random(6); i > 0; i--) peers.push(await fuzzer(t, host.url, room, seedOf(seed, peers.length)))
  let edits = 0
  for (let step = 0; step < 120; step++) {
    const peer = peers[random(peers.length)]
    const action = random(20)
    if (action === 0) peer.doc.disconnect()
    else if (action === 1) peer.doc.connect()
    else if (action === 2 && random(2) === 0) await peer.reload()
    else if (action === 3) await peer.doc.saved()
    else if (action < 8) await turn()
    else {
      edit(peer, random)
      edits++
    }
  }
  await settle(host, room, peers, 1)
  await undoAll(peers[0], random)
  await settle(host, room, peers, 2)
  await Promise.all(peers.map(({ doc }) => doc.close()))
  return { edits, rejections: peers.reduce((sum, { rejections }) => sum + rejections.length, 0) }
}

/** What one peer does while the others rest, it can take back; items that return have other ids. */
async function undoAll (peer: Fuzzer, random: (below: number) => number): Promise<void> {
  const contents = (): object => {
    const { lists, ...rest } = shown(peer.doc) as { lists: { content: unknown }[][] }
    return { ...rest, lists: lists.map((items) => items.map(({ content }) => content)) }
  }
  const before = contents()
  const refused = peer.rejections.length
  const undo = peer.doc.undoManager({ captureTimeout: 0 })
  for (let i = 0; i < 15; i++) {
    edit({ ...peer, undo }, random)
    if (random(4) === 0) await turn()
  }
  await peer.doc.flush({ timeout: 20_000 })
  while (undo.undo());
  undo.stop()
  await peer.doc.flush({ timeout: 20_000 })
  if (peer.rejections.length === refused) assert.deepEqual(contents(), before, 'undo restores')
}
