import t, { type Test } from 'tap'
import { createBlobs, type BlobDriver } from '../../lib/client/blobs.js'
import { createLink, type Link, type LinkState } from '../../lib/client/link.js'
import { createPace } from '../../lib/client/pace.js'
import { type PresenceDriver, createPresence } from '../../lib/client/presence.js'
import type { OpenSocket } from '../../lib/client/socket.js'
import type { Auth } from '../../lib/client/token.js'
import { createSigner } from '../../lib/crypto/ed25519.js'
import type { ServerMessage } from '../../lib/protocol/server-message.js'
import { mintToken } from '../../lib/protocol/token.js'
import { memoryBlobs } from '../../lib/store/memory-blobs.js'
import { type FakeClock, createFakeClock } from '../../lib/testing/clock.js'
import { createTestServer, peer, set } from '../room/harness.js'
import { createPeer } from '../../lib/testing/peer.js'
import { type BlobShelf, blake3, blob, createShelf, nameOf } from './link-blobs.js'
import { roomSocket } from './link-room.js'
import { settled } from './link-socket.js'
import { createOriginalServer } from './original-server.js'

/** Everything of a client but its document. */
interface Wired { link: Link, presence: PresenceDriver, blobs: BlobDriver, shelf: BlobShelf, states: LinkState['state'][], packs: Uint8Array[], acks: unknown[], frames: ServerMessage['type'][], errors: string[] }

function wire (t: Test, clock: FakeClock, open: OpenSocket, seed: number, auth?: Auth): Wired {
  const own = createPeer({ blake3, seed: new Uint8Array(32).fill(seed) })
  const shelf = createShelf()
  const w: Omit<Wired, 'link' | 'presence' | 'blobs'> = { shelf, states: [], packs: [], acks: [], frames: [], errors: [] }
  const fault = (error: unknown): void => { t.error(error) }
  const send: Link['send'] = (message) => link.send(message)
  const presence = createPresence<Record<string, unknown>>({ pubkey: own.key, clock, send, fault })
  const blobs = createBlobs({ storage: shelf.storage, blake3, clock, random: () => 0, send, fault, fetch: async () => { throw new TypeError('no network here') } })
  const link = createLink({
    url: 'ws://server',
    room: 'plans',
    pubkey: own.key,
    open,
    auth,
    clock,
    random: () => 0,
    pace: createPace(clock),
    handlers: {
      greeting: () => ({ frontier: own.frontier, root: own.root }),
      welcome (welcome, { ext }) {
        presence.welcome(welcome, ext.size > 0)
        blobs.welcome(welcome)
      },
      pack: (bytes) => { w.packs.push(bytes) },
      ack: (ack) => { w.acks.push(ack) },
      error (error) {
        w.errors.push(error.msg)
        blobs.message(error)
      },
      message (message) {
        if (message.type !== 'unknown') w.frames.push(message.type)
        presence.message(message)
        blobs.message(message)
      },
      fault,
      state (state) {
        w.states.push(state.state)
        if (state.state !== 'open' && state.state !== 'greeting' && state.state !== 'connecting') {
          presence.disconnected()
          blobs.disconnected()
        }
      }
    }
  })
  t.teardown(() => {
    link.close()
    presence.close()
    blobs.close()
  })
  return { ...w, link, presence, blobs }
}

/** The room answers within a few turns of the event loop. */
async function until (t: Test, look: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 200 && !look(); i++) await settled()
  t.ok(look(), what)
}

const isOpen = ({ link }: Wired) => (): boolean => link.state.state === 'open'

t.test('LK-34 a link to our server negotiates, hears acknowledgements and catches up', async (t) => {
  const { server, clock } = createTestServer(t)
  await server.store.open()
  const one = wire(t, clock, () => roomSocket(server, 'plans'), 1)
  one.link.connect()
  await until(t, isOpen(one), 'open')
  t.ok(one.link.ext.has('ack') && one.link.ext.has('literal-missing'))
  const author = peer(1)
  const node = author.write(set('k'))
  t.ok(one.link.send({ type: 'pack', id: 5, nodes: Buffer.from(author.pack([node])).toString('base64') }))
  await until(t, () => one.acks.length > 0, 'acknowledged')
  t.match(one.acks, [{ id: 5, accepted_count: 1 }])
  const two = wire(t, clock, () => roomSocket(server, 'plans'), 2)
  two.link.connect()
  await until(t, () => two.packs.length > 0, 'caught up')
  t.same(two.packs[0], Uint8Array.from(author.pack([node])))
})

t.test('LK-49 two tabs of one identity see each other at our server, and hear who leaves', async (t) => {
  const { server, clock } = createTestServer(t)
  await server.store.open()
  const open: OpenSocket = () => roomSocket(server, 'plans')
  const [one, tab] = [wire(t, clock, open, 1), wire(t, clock, open, 1)]
  one.presence.set({ name: 'one' })
  one.link.connect()
  await until(t, isOpen(one), 'open')
  tab.presence.set({ name: 'tab' })
  tab.link.connect()
  await until(t, () => tab.presence.others().length === 1 && one.presence.others().length === 1, 'both see one other')
  t.match(tab.presence.others(), [{ state: { name: 'one' } }])
  t.match(one.presence.others(), [{ state: { name: 'tab' } }])
  tab.link.disconnect()
  await until(t, () => one.presence.others().length === 0, 'the tab is gone')
  t.equal(one.frames.filter((type) => type === 'peer-left').length, 0)
})

t.test('LK-65 our server tells the uploader what it stored and what not', async (t) => {
  const { server, clock } = createTestServer(t, { limit: { blobSocketBytes: 100 } })
  await server.store.open()
  const open: OpenSocket = () => roomSocket(server, 'plans')
  const [one, two] = [wire(t, clock, open, 1), wire(t, clock, open, 2)]
  one.link.connect()
  two.link.connect()
  await until(t, isOpen(one), 'open')
  const hash = await one.blobs.put(blob(1))
  const large = await one.blobs.put(blob(2, 101))
  await until(t, () => one.blobs.status(hash) === 'uploaded', 'stored')
  t.equal(one.shelf.kept.get(hash)?.uploaded, true)
  await until(t, () => one.errors.length > 0 && one.blobs.status(large) === 'local', 'refused')
  t.equal(one.blobs.unsent, 1)
  t.ok(await server.blobs.stat(hash))
  t.same(await two.blobs.get(hash), blob(1))
  t.equal(await two.blobs.get(nameOf(blob(9))), undefined)
})

t.test('LK-66 a client that prefers the socket is given bytes at once, not an address', async (t) => {
  const plain = memoryBlobs()
  const blobs: typeof plain = {
    ...plain,
    manifest: { ...plain.manifest, presign: true },
    presign: async () => ({ url: 'https://store/gone', expiresAt: new Date(4e12) })
  }
  const { server, clock } = createTestServer(t, { blobs })
  await server.store.open()
  const open: OpenSocket = () => roomSocket(server, 'plans')
  const one = wire(t, clock, open, 1)
  one.link.connect()
  await until(t, isOpen(one), 'open')
  const hash = await one.blobs.put(blob(1))
  await until(t, () => one.blobs.status(hash) === 'uploaded', 'stored')
  const two = wire(t, clock, open, 2)
  two.link.connect()
  await until(t, isOpen(two), 'open')
  const got = two.blobs.get(hash)
  await until(t, () => two.frames.includes('blob-redirect'), 'redirected')
  await settled()
  clock.advance(1_000)
  t.same(await got, blob(1))
  const three = wire(t, clock, open, 3)
  three.link.connect()
  await until(t, isOpen(three), 'open')
  three.link.send({ type: 'blob-request', hashes: [hash], prefer: 'ws' })
  await until(t, () => three.frames.includes('blob-pack'), 'answered')
  t.notOk(three.frames.includes('blob-redirect'))
})

t.test('LK-35 with an original server: late welcome, no extensions, presence by key, blobs, locks', async (t) => {
  const clock = createFakeClock()
  const server = createOriginalServer({ blake3, clock })
  const later = async (): Promise<void> => {
    await settled()
    clock.advance(100)
    await settled()
  }
  const [one, tab, two] = [1, 1, 2].map((seed) => wire(t, clock, server.open, seed))
  for (const each of [one, tab, two]) {
    each.presence.set({ n: 1 })
    each.link.connect()
    await later()
  }
  t.same([one, tab, two].map(({ link }) => [link.state.state, link.ext.size]), [['open', 0], ['open', 0], ['open', 0]])
  t.same(one.presence.others().map(({ sessionId }) => sessionId), [null])
  t.equal(two.presence.others().length, 1, 'two tabs are one peer here')
  const hash = await one.blobs.put(blob(1))
  await settled()
  t.equal(one.blobs.status(hash), 'uploaded')
  t.same(await two.blobs.get(hash), blob(1))
  two.link.disconnect()
  await settled()
  t.same(one.presence.others(), [])
  server.drop(4001, 'resync required')
  await settled()
  t.equal(one.link.state.state, 'greeting')

  const key = createSigner(new Uint8Array(32).fill(9))
  server.lock('plans', key.publicKey)
  const out = wire(t, clock, server.open, 3)
  out.link.connect()
  await settled()
  t.match(out.link.state, { state: 'denied', reason: /include a capability token/ })
  let asked = 0
  const auth: Auth = ({ pubkey }) => {
    asked++
    return { ...mintToken({ room: 'plans', peer: Uint8Array.from(Buffer.from(pubkey, 'hex')), expiry: Math.floor(clock.now() / 1000) + (asked === 1 ? 60 : 3_600), caps: [] }, key) }
  }
  const inside = wire(t, clock, server.open, 4, auth)
  inside.link.connect()
  await later()
  await later()
  t.equal(inside.link.state.state, 'open')
  for (let second = 0; second < 60; second++) {
    clock.advance(1_000)
    await settled()
  }
  await later()
  t.equal(inside.link.state.state, 'open', 'the token ended meanwhile')
  t.equal(asked, 2)
  t.ok(inside.states.filter((state) => state === 'open').length === 2)
})
