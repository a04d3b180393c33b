import t, { type Test } from 'tap'
import { createHash } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { WebSocket } from 'ws'
import type { PeerConnection } from '../../lib/testing/connection.js'
import { blake3, joinAt, peer, seeded, set } from '../plugin/host.js'
import { type Raw, connectRaw } from '../plugin/raw.js'
import { type Running, build, run } from './built.js'

const SERVER = build(t.testdir(), 'test/crash/server.ts')
const ROUNDS = Number(process.env.CRASH_ROUNDS ?? 50)

/** What the outside world was told, by room and, for blobs, by hash. */
interface Told { acknowledged: Map<string, Set<string>>, relayed: Map<string, Set<string>>, announced: Map<string, Buffer> }

const idOf = (node: Uint8Array): string => Buffer.from(node.subarray(0, 32)).toString('hex')

function note (into: Map<string, Set<string>>, room: string, ids: Iterable<string>): void {
  const known = into.get(room) ?? new Set()
  for (const id of ids) known.add(id)
  into.set(room, known)
}

/** A peer that keeps writing, never more than a few packs ahead of what is acknowledged, until its connection ends. */
class Pusher {
  readonly room: string
  readonly connection: PeerConnection
  readonly #own: string[] = []

  constructor (url: () => string, room: string, seed: number) {
    this.room = room
    this.connection = joinAt('', room, peer(seed, { verify: false }), {
      open: () => new WebSocket(`${url()}/ws/${encodeURIComponent(room)}`), within: 20_000
    })
  }

  async push (): Promise<void> {
    const { connection } = this
    await connection.synced()
    for (let i = 0; ; i++) {
      await connection.until(() => connection.state === 'closed' || connection.unacknowledged < 8)
      if (connection.state === 'closed') return
      this.#own.push(idOf(connection.write(set(`k${i % 20}`, 'v'.repeat(i % 300)))))
    }
  }

  /** Once the connection has ended: what it was told before. */
  report ({ acknowledged, relayed }: Told): void {
    const { peer, unacknowledged } = this.connection
    const own = new Set(this.#own)
    // Packs are answered in order, so what is unacknowledged are the newest of its own nodes.
    note(acknowledged, this.room, this.#own.slice(0, this.#own.length - unacknowledged))
    note(relayed, this.room, [...peer.ids()].filter((id) => !own.has(id)))
  }
}

/** Uploads blobs, one after the other, and remembers those that were announced. */
async function upload (client: Raw, name: string, announced: Map<string, Buffer>): Promise<void> {
  await client.hello({ pubkey: 'f'.repeat(64) })
  for (let i = 0; client.ended === null; i++) {
    const bytes = Buffer.alloc(1 + (i * 7919) % 60_000, createHash('sha256').update(`${name} ${i}`).digest())
    const hash = Buffer.from(blake3.hash(bytes)).toString('hex')
    client.send({ type: 'blob-upload', blobs: [{ hash, data: bytes.toString('base64') }] })
    const seen = (): boolean => client.frames.some(({ type, hashes }) => type === 'blob-available' && (hashes as string[]).includes(hash))
    await client.until(() => seen() || client.ended !== null, 'the announcement')
    if (seen()) announced.set(hash, bytes)
  }
}

/** A fresh peer joins every room and compares; blobs are asked for by hash. */
async function verify (t: Test, url: string, told: Told, rooms: Iterable<string>, round: string): Promise<void> {
  for (const room of rooms) {
    const fresh = joinAt(`${url}/ws/${encodeURIComponent(room)}`, room, peer(9_999, { verify: round === 'all' }), { within: 20_000 })
    await fresh.synced()
    const lost = (ids: Iterable<string> = []): string[] => [...ids].filter((id) => !fresh.peer.has(id))
    const [acknowledged, relayed] = [lost(told.acknowledged.get(room)), lost(told.relayed.get(room))]
    if (acknowledged.length > 0) t.fail(`${round}, ${room}: ${acknowledged.length} acknowledged nodes are gone, the first is ${acknowledged[0]}`)
    if (relayed.length > 0) t.fail(`${round}, ${room}: ${relayed.length} relayed nodes are gone, the first is ${relayed[0]}`)
    if (fresh.peer.root !== fresh.welcome?.root) t.fail(`${round}, ${room}: the catch-up does not make the announced root`)
    fresh.close()
  }
}

async function verifyBlobs (t: Test, url: string, announced: ReadonlyMap<string, Buffer>, round: string): Promise<void> {
  const client = connectRaw(`${url}/ws/blobs`)
  await client.hello({ pubkey: 'e'.repeat(64) })
  const hashes = [...announced.keys()]
  const got = new Map<string, string>()
  for (let at = 0; at < hashes.length; at += 50) {
    client.send({ type: 'blob-request', hashes: hashes.slice(at, at + 50) })
    for (const { hash, data } of (await client.next('blob-pack')).blobs as Array<{ hash: string, data: string }>) got.set(hash, data)
  }
  for (const [hash, bytes] of announced) {
    if (got.get(hash) !== bytes.toString('base64')) t.fail(`${round}: blob ${hash} was announced and is ${got.has(hash) ? 'different' : 'gone'}`)
  }
  await client.leave()
}

t.test('KI-1 after kill -9 at any instant the server opens and has everything it acknowledged, relayed or announced', { timeout: 300_000 }, async (t) => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
  t.comment(`SEED=${seed} CRASH_ROUNDS=${ROUNDS}`)
  const random = seeded(seed)
  const data = t.testdir()
  const told: Told = { acknowledged: new Map(), relayed: new Map(), announced: new Map() }
  let child: Running = await run(t, SERVER, [data])
  const url = (): string => String(child.ready.url)
  // Two peers live through all of it, reconnecting after each kill; the others meet in a room of the round.
  const survivors = [1, 2].map((n) => new Pusher(url, 'long', n))
  for (let round = 0; round < ROUNDS; round++) {
    if (round > 0) for (const { connection } of survivors) connection.reconnect()
    const room = `round ${round}`
    const pushers = [...survivors, new Pusher(url, room, 100 + 3 * round), new Pusher(url, room, 101 + 3 * round), new Pusher(url, `${room} alone`, 102 + 3 * round)]
    const uploads = new Map<string, Buffer>()
    const uploader = connectRaw(`${url()}/ws/blobs`)
    const work = [...pushers.map((pusher) => pusher.push()), upload(uploader, `${seed} ${round}`, uploads)]
    const delay = 30 + random(500)
    await Promise.all(pushers.map(({ connection }) => connection.synced()))
    await setTimeout(delay)
    await child.end('SIGKILL')
    await Promise.all(work)
    for (const pusher of pushers) pusher.report(told)
    for (const [hash, bytes] of uploads) told.announced.set(hash, bytes)
    child = await run(t, SERVER, [data])
    await verify(t, url(), told, [room, `${room} alone`, 'long'], `round ${round}`)
    await verifyBlobs(t, url(), uploads, `round ${round}`)
  }
  await verify(t, url(), told, told.acknowledged.keys(), 'all')
  await verifyBlobs(t, url(), told.announced, 'all')
  const sum = (sets: Map<string, Set<string>>): number => [...sets.values()].reduce((total, { size }) => total + size, 0)
  t.comment(`${ROUNDS} kills: ${sum(told.acknowledged)} nodes acknowledged, ${sum(told.relayed)} relayed, ${told.announced.size} blobs announced`)
  t.ok(sum(told.acknowledged) > ROUNDS * 10, 'there was load')
  t.ok(told.announced.size > ROUNDS / 2)
  t.same(await child.end('SIGTERM'), { code: 0, signal: null }, 'and the last one ends as it should')
})

t.test('KI-2 killed while it starts, or right after a kill, it opens the next time', { timeout: 60_000 }, async (t) => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
  t.comment(`SEED=${seed}`)
  const random = seeded(seed)
  const data = t.testdir()
  let child = await run(t, SERVER, [data])
  const writer = new Pusher(() => String(child.ready.url), 'plans', 1)
  const pushing = writer.push()
  await writer.connection.until(() => writer.connection.peer.size > 500)
  await child.end('SIGKILL')
  await pushing
  const told: Told = { acknowledged: new Map(), relayed: new Map(), announced: new Map() }
  writer.report(told)
  for (let i = 0; i < 8; i++) {
    const starting = run(t, SERVER, [data, JSON.stringify({ killAfterMs: random(400) })])
    const early = await starting.catch(() => null)
    await early?.end('SIGKILL')
  }
  child = await run(t, SERVER, [data])
  await verify(t, String(child.ready.url), told, ['plans'], 'all')
})

t.test('KI-3 a lock and a policy that were confirmed are there after kill -9', async (t) => {
  const data = t.testdir()
  let child = await run(t, SERVER, [data, JSON.stringify({ confirm: 'locked' })])
  await child.line((line) => line === 'confirmed')
  await child.end('SIGKILL')
  child = await run(t, SERVER, [data])
  const client = connectRaw(`${String(child.ready.url)}/ws/locked`)
  await client.opened()
  client.send({ type: 'hello', pubkey: 'a'.repeat(64) })
  t.match(await client.next('error'), { code: /^unauthorized\.token_/ })
})
