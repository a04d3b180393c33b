import t from 'tap'
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'
import { createBackoff } from '../../lib/client/backoff.js'
import { type Ending, sequelOf } from '../../lib/client/closing.js'
import { createDirect } from '../../lib/client/direct.js'
import { type NetworkScope, platformNetwork } from '../../lib/client/network.js'
import { createPace } from '../../lib/client/pace.js'
import { loadSocket, roomUrl } from '../../lib/client/socket.js'
import { type Auth, type TokenSource, createTokenSource } from '../../lib/client/token.js'
import { parseServerMessage } from '../../lib/protocol/server-message.js'
import { type FakeClock, createFakeClock } from '../../lib/testing/clock.js'
import { settled } from './link-socket.js'

t.test('LK-6 a room is found below the address, or where the address says', async (t) => {
  const cases: [string, string, string][] = [
    ['ws://h:1', 'a/b c', 'ws://h:1/ws/a%2Fb%20c'],
    ['ws://h:1/base/', 'r', 'ws://h:1/base/ws/r'],
    ['wss://h/base//', 'ü', 'wss://h/base/ws/%C3%BC'],
    ['ws://h/ws/runtime', 'r', 'ws://h/ws/runtime'],
    ['ws://h/x/ws/other/', 'r', 'ws://h/x/ws/other'],
    ['ws://h/ws', 'r', 'ws://h/ws/ws/r'],
    ['http://h', 'r', 'ws://h/ws/r'],
    ['HTTPS://h', 'r', 'wss://h/ws/r'],
    ['ws://h?key=1', 'r', 'ws://h/ws/r?key=1'],
    ['ws://h/ws/x?key=1#there', 'r', 'ws://h/ws/x?key=1'],
    ['ws://h', '.', 'ws://h/ws/runtime'],
    ['ws://h', '..', 'ws://h/ws/runtime']
  ]
  for (const [url, room, found] of cases) t.equal(roomUrl(url, room), found)
  for (const [url, room] of [['h:1', 'r'], ['ftp://h', 'r'], ['ws:///x', 'r'], ['', 'r'], ['ws://h', ''], ['ws://h', '\ud800']]) t.throws(() => roomUrl(url, room), RangeError)
  t.throws(() => roomUrl(5 as never, 'r'), TypeError)
  t.throws(() => roomUrl('ws://h', null as never), TypeError)
})

t.test('LK-7 sockets are of the given class, of the platform, or of ws', async (t) => {
  const made: string[] = []
  class Given {
    readyState = 0
    constructor (url: string) { made.push(url) }
    send (): void {}
    close (): void {}
    addEventListener (): void {}
  }
  const given = await loadSocket(Given)
  given('ws://one')
  const { WebSocket: before } = globalThis as { WebSocket?: unknown }
  t.teardown(() => { Object.assign(globalThis, { WebSocket: before }) })
  Object.assign(globalThis, { WebSocket: Given })
  const platform = await loadSocket()
  platform('ws://two')
  t.same(made, ['ws://one', 'ws://two'])
  const http = createServer().listen(0, '127.0.0.1')
  await once(http, 'listening')
  const server = new WebSocketServer({ server: http })
  server.on('connection', (peer) => { peer.send('hi') })
  const open = await loadSocket(null)
  const socket = open(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`)
  const data = await new Promise((resolve) => { socket.addEventListener('message', (event) => { resolve(event.data) }) })
  t.equal(data, 'hi', 'text arrives as text')
  const closed = new Promise((resolve) => { socket.addEventListener('close', resolve) })
  socket.close(1000)
  await closed
  server.close()
  http.close()
})

t.test('LK-8 delays grow, are bounded, and chance takes from them or adds to what must be waited', async (t) => {
  let chance = 0
  const backoff = createBackoff({ minMs: 100, maxMs: 1_000, factor: 3, jitter: 0.5 }, () => chance)
  t.same([backoff.next(), backoff.next(), backoff.next(), backoff.next()], [100, 300, 900, 1_000])
  t.equal(backoff.attempt, 4)
  chance = 0.99
  t.equal(backoff.next(), 505)
  t.equal(backoff.next(30_000), 44_850)
  backoff.reset()
  t.equal(backoff.attempt, 0)
  t.equal(backoff.next(), 51)
})

t.test('LK-9 packs keep to what the server allows, and to less after it complained', async (t) => {
  const clock = createFakeClock()
  const pace = createPace(clock)
  t.same(pace.limit, { characters: 49_152, nodes: 150 })
  pace.welcomed({ known: true, rate: { nodes: 1_000, bytes: 1_000_000 } })
  t.same(pace.limit, { characters: 262_144, nodes: 750 })
  t.equal(pace.delay(750, 1), 0)
  pace.spend(750, 1)
  t.equal(pace.delay(75, 1), 100)
  clock.advance(99)
  t.ok(pace.delay(75, 1) > 0)
  clock.advance(1)
  t.equal(pace.delay(75, 1), 0)
  pace.spend(75, 750_000)
  t.equal(pace.delay(1, 750_000), 1_000)
  t.equal(pace.delay(5_000, 9_999_999), 1_000, 'what is larger than the bucket goes when the bucket is full')
  clock.advance(60_000)
  pace.spend(2_250, 0)
  t.equal(pace.delay(750, 0), 3_000, 'and leaves a debt')
  pace.welcomed({ known: true, rate: { nodes: 0, bytes: 0 } })
  t.equal(pace.limit.nodes, 5_000)
  pace.spend(1e9, 1e9)
  t.equal(pace.delay(1e9, 1e9), 0, 'no limit')
  pace.welcomed({ known: false, rate: undefined })
  for (let i = 0; i < 9; i++) pace.strained('rate')
  pace.welcomed({ known: false, rate: undefined })
  t.same(pace.limit, { characters: 4_096, nodes: 9 })
  const small = createPace(clock)
  small.strained('size')
  t.same(small.limit, { characters: 24_576, nodes: 150 })
  small.welcomed({ known: true, rate: { nodes: 1, bytes: 1 } })
  t.equal(small.limit.nodes, 1)
  const fresh = createPace(clock)
  fresh.welcomed({ known: true, rate: { nodes: 1_000, bytes: 1_000_000, reconcile: { nodes: 4_000, bytes: 40_000, ms: 2_000 } } })
  for (let pack = 0; pack < 4; pack++) {
    t.equal(fresh.delay(750, 7_500), 0, 'the allowance after a welcome')
    fresh.spend(750, 7_500)
  }
  t.equal(fresh.delay(750, 0), 0, 'then the bucket')
  fresh.spend(750, 0)
  t.equal(fresh.delay(750, 0), 1_000)
  fresh.welcomed({ known: true, rate: { nodes: 1_000, bytes: 0, reconcile: { nodes: 4_000, bytes: 0, ms: 2_000 } } })
  clock.advance(1_500)
  fresh.spend(750, 0)
  t.equal(fresh.delay(750, 0), 1_000, 'it ends early, because the server began to count before')
})

function tokens (auth: Auth | undefined): { source: TokenSource, clock: FakeClock, failed: unknown[] } {
  const clock = createFakeClock()
  const failed: unknown[] = []
  return { source: createTokenSource({ auth, room: 'r', pubkey: 'aa', clock, failed: (error) => { failed.push(error) } }), clock, failed }
}

t.test('LK-10 a token is asked for when none is fresh, and half a minute ahead of its end', async (t) => {
  let n = 0
  const s = tokens(async ({ room, pubkey }) => ({ n: ++n, room, pubkey, expiry_secs: Math.floor(s.clock.now() / 1000) + 100 }))
  t.match(await s.source.get(), { n: 1, room: 'r', pubkey: 'aa' })
  t.match(await s.source.get(), { n: 1 })
  s.clock.advance(70_000)
  await settled()
  t.equal(n, 2)
  t.match(await s.source.get(), { n: 2 })
  s.source.invalidate()
  const [one, two] = await Promise.all([s.source.get(), s.source.get()])
  t.equal(one, two, 'asked once at a time')
  t.equal(n, 3)
  s.source.rest()
  s.clock.advance(94_000)
  t.match(await s.source.get(), { n: 3 })
  s.clock.advance(1_000)
  t.match(await s.source.get(), { n: 4 }, 'five seconds are too few')
  const endless = tokens(() => ({ n: ++n }))
  t.match([await endless.source.get(), await endless.source.get()], [{ n: 5 }, { n: 6 }], 'one that does not say when it ends is not kept')
  const far = tokens(() => ({ n: ++n, expiry: far.clock.now() / 1000 + 6_000_000 }))
  await far.source.get()
  far.clock.advance(5_999_969_000)
  await settled()
  t.equal(n, 7, 'a timer of any length')
  far.clock.advance(1_000)
  await settled()
  t.equal(n, 8)
  const fixed = { sig: 'x' }
  t.equal(await tokens(fixed).source.get(), fixed)
  t.equal(await tokens(undefined).source.get(), undefined)
  t.equal(await tokens(() => null).source.get(), undefined)
  t.same([tokens(fixed), tokens(() => null)].map(({ source }) => source.refreshable), [false, true])
})

t.test('LK-11 a token callback that throws, dawdles or answers nonsense is told', async (t) => {
  await t.rejects(tokens(() => { throw new Error('no') }).source.get(), { message: 'no' })
  for (const wrong of ['text', 5, [], true]) await t.rejects(tokens(() => wrong as never).source.get(), { code: 'client.token' })
  const slow = tokens(({ signal }) => new Promise((resolve) => { signal.addEventListener('abort', () => { resolve({ late: true }) }) }))
  const late = t.rejects(slow.source.get(), { code: 'client.token', message: /too long/ })
  slow.clock.advance(30_000)
  await late
  let fail = false
  const ahead = tokens(async () => {
    if (fail) throw new Error('down')
    return { expiry: ahead.clock.now() / 1000 + 60 }
  })
  await ahead.source.get()
  fail = true
  ahead.clock.advance(30_000)
  await settled()
  t.match(ahead.failed, [{ message: 'down' }])
  let calls = 0
  const resting = tokens(({ signal }) => ++calls === 1 ? { expiry: resting.clock.now() / 1000 + 60 } : new Promise((resolve, reject) => { signal.addEventListener('abort', () => { reject(new Error('aborted')) }) }))
  await resting.source.get()
  resting.clock.advance(30_000)
  resting.source.rest()
  await settled()
  t.same(resting.failed, [], 'nobody waits for it any more')
})

t.test('LK-12 what follows from a close code', async (t) => {
  const error = (fields: object): Ending['error'] => {
    const message = parseServerMessage(JSON.stringify({ type: 'error', ...fields }))
    return message.type === 'error' ? message : null
  }
  const ending = (fields: Partial<Ending>): Ending => ({ code: 1006, reason: '', error: null, welcomed: false, refreshable: false, ...fields })
  const auth = { msg: 'auth: no' }
  const denied = [
    { error: error(auth) },
    { code: 1008, error: error(auth), refreshable: true },
    { code: 1008, error: error({ msg: 'auth: token expired', code: 'unauthorized.token_expired' }) },
    { code: 1008, error: error({ msg: 'the room id is not usable', code: 'reject.room_invalid' }) },
    { code: 1008, welcomed: true, reason: 'revoked' },
    { error: error({ msg: '', code: 'unauthorized.denied' }) }
  ]
  for (const fields of denied) t.match(sequelOf(ending(fields)), { then: 'denied' })
  const retried: [Partial<Ending>, object][] = [
    [{}, { atOnce: false, atLeastMs: 0, refresh: false, pressure: null, reason: 'the connection was closed (1006)' }],
    [{ code: 4001, welcomed: true }, { atOnce: true, refresh: false }],
    [{ code: 4002, welcomed: true, reason: 'token expired' }, { atOnce: true, refresh: true, reason: 'token expired' }],
    [{ code: 4008, welcomed: true }, { atOnce: false, atLeastMs: 30_000, pressure: 'rate' }],
    [{ code: 1009, welcomed: true }, { pressure: 'size' }],
    [{ code: 1008, reason: 'hello timeout' }, { reason: 'hello timeout' }],
    [{ code: 1008, error: error({ msg: 'hello timeout', code: 'unauthorized.hello_timeout', retry: true }) }, { atOnce: false }],
    [{ code: 1008, error: error({ msg: 'the store failed', code: 'store.failed', retry: true }) }, { reason: 'the store failed' }],
    [{ code: 1013, error: error({ msg: 'room loading', code: 'reject.room_unavailable' }) }, { reason: 'room loading' }],
    [{ code: 1011, error: error({ msg: '' }), reason: 'server overload' }, { reason: 'server overload' }],
    [{ error: error({ msg: 'auth: token has expired' }), refreshable: true }, { refresh: true, atOnce: false }],
    [{ code: 1000, welcomed: true, error: error(auth) }, { reason: 'the connection was closed (1000)' }]
  ]
  for (const [fields, sequel] of retried) t.match(sequelOf(ending(fields)), { then: 'retry', ...sequel })
})

t.test('LK-13 the network is what the platform says, and up where it says nothing', async (t) => {
  const listeners = new Map<string, () => void>()
  const scope: NetworkScope & { navigator: { onLine: boolean } } = {
    navigator: { onLine: false },
    addEventListener: (type, listen) => { listeners.set(type, listen) },
    removeEventListener: (type) => { listeners.delete(type) }
  }
  const network = platformNetwork(scope)
  t.equal(network.online, false)
  scope.navigator.onLine = true
  t.equal(network.online, true)
  let changes = 0
  const stop = network.watch(() => { changes++ })
  for (const listen of listeners.values()) listen()
  t.equal(changes, 2)
  stop()
  t.equal(listeners.size, 0)
  const bare = platformNetwork({})
  t.equal(bare.online, true)
  bare.watch(() => {})()
  t.equal(platformNetwork().online, true)
})

t.test('LK-14 presigned transfers are few at a time', async (t) => {
  const running: ((status: number) => void)[] = []
  const direct = createDirect((_url, { signal }) => new Promise((resolve, reject) => {
    running.push((status) => { resolve({ ok: status === 200, status, body: null }) })
    signal.addEventListener('abort', () => { reject(signal.reason) })
  }), createFakeClock())
  const all = Array.from({ length: 6 }, () => direct.get('https://store/x', 10))
  await settled()
  t.equal(running.length, 4)
  running[0](200)
  t.same(await all[0], new Uint8Array(0))
  await settled()
  t.equal(running.length, 5)
  const rest = all.slice(1).map((one) => t.rejects(one, { code: 'client.closed' }))
  direct.close()
  await Promise.all(rest)
  t.equal(running.length, 5)
})
