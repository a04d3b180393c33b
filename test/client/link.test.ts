import t from 'tap'
import { NodalmergeError } from '../../lib/errors.js'
import { createPace } from '../../lib/client/pace.js'
import { type Link, type LinkOptions, type LinkState, createLink } from '../../lib/client/link.js'
import type { Network } from '../../lib/client/network.js'
import { toBase64 } from '../../lib/protocol/base64.js'
import { type FakeClock, createFakeClock } from '../../lib/testing/clock.js'
import { type ScriptedServer, WELCOME, scriptedServer, settled } from './link-socket.js'

interface Stage {
  link: Link
  server: ScriptedServer
  clock: FakeClock
  network: Network & { online: boolean, changed: () => void }
  pace: ReturnType<typeof createPace>
  states: LinkState[]
  heard: { what: string, value: unknown }[]
  /** Connects up to the given point. */
  to (point: 'opening' | 'greeting' | 'open'): Promise<void>
  of (what: string): unknown[]
}

function stage (options: Partial<LinkOptions> = {}, on: Partial<LinkOptions['handlers']> = {}): Stage {
  const clock = createFakeClock()
  const server = scriptedServer()
  const pace = createPace(clock)
  const states: LinkState[] = []
  const heard: { what: string, value: unknown }[] = []
  const note = (what: string) => (value: unknown): void => { heard.push({ what, value }) }
  const network = {
    online: true,
    changed: () => {},
    watch (changed: () => void) {
      network.changed = changed
      return () => { network.changed = () => { throw new Error('no longer watched') } }
    }
  }
  const link = createLink({
    url: 'ws://host/base',
    room: 'plans',
    pubkey: 'aa'.repeat(32),
    open: server.open,
    clock,
    random: () => 0,
    pace,
    network,
    ...options,
    handlers: {
      greeting: () => ({ frontier: ['11'.repeat(32)], root: '22'.repeat(32) }),
      welcome: note('welcome'),
      pack: note('pack'),
      ack: note('ack'),
      error: note('error'),
      message: note('message'),
      fault: note('fault'),
      state: (state) => { states.push(state) },
      ...on
    }
  })
  return {
    link,
    server,
    clock,
    network,
    pace,
    states,
    heard,
    of: (what) => heard.filter((entry) => entry.what === what).map(({ value }) => value),
    async to (point) {
      link.connect()
      await settled()
      if (point !== 'opening') server.last.open()
      if (point === 'open') server.last.frame(WELCOME)
    }
  }
}

const last = (states: readonly LinkState[]): LinkState => states[states.length - 1]
const names = (states: readonly LinkState[]): string[] => states.map(({ state }) => state)

t.test('LK-20 a link connects, greets, opens, leaves and closes', async (t) => {
  const s = stage()
  t.same(s.link.state, { state: 'offline' })
  t.equal(s.link.send({ type: 'presence-get' }), false)
  t.equal(s.link.buffered, 0)
  s.link.connect()
  t.equal(s.link.buffered, 0)
  await s.to('opening')
  t.equal(s.server.last.url, 'ws://host/base/ws/plans')
  t.equal(s.link.buffered, 0)
  s.server.last.open()
  t.equal(s.link.send({ type: 'presence-get' }), false, 'not before the welcome')
  s.server.last.frame(WELCOME)
  t.same(names(s.states), ['connecting', 'greeting', 'open'])
  t.match(s.of('welcome'), [{ type: 'welcome', session_id: 7 }])
  t.ok(s.link.send({ type: 'presence-get' }))
  s.server.last.bufferedAmount = 12
  t.equal(s.link.buffered, 12)
  t.same(s.server.last.sent.map(({ type }) => type), ['hello', 'presence-get'])
  s.link.connect()
  t.equal(s.server.sockets.length, 1, 'connected already')
  s.link.disconnect()
  t.match(s.server.last.left, { code: 1000 })
  s.link.disconnect()
  s.server.last.end(1000)
  t.equal(s.link.ext.size, 0)
  await s.to('open')
  t.equal(s.server.sockets.length, 2)
  s.link.close()
  s.link.close()
  s.link.connect()
  s.link.disconnect()
  s.link.reauth()
  await settled()
  t.same(names(s.states), ['connecting', 'greeting', 'open', 'offline', 'connecting', 'greeting', 'open', 'closed'])
  t.equal(s.clock.pending, 0)
  t.throws(s.network.changed)
})

t.test('LK-21 hello says who, where and what is spoken; only what was offered counts as negotiated', async (t) => {
  const token = { sig: 'x' }
  const s = stage({ auth: token, subscribe: () => ['world/**'], direct: false })
  await s.to('open')
  t.same(s.server.last.sent, [{
    type: 'hello',
    room: 'plans',
    pubkey: 'aa'.repeat(32),
    frontier: ['11'.repeat(32)],
    root: '22'.repeat(32),
    caps: {
      supports_ibf: true,
      supports_mst: false,
      supports_postcard: true,
      supports_encryption: true,
      supports_webrtc: false,
      max_tick_interval_ms: null,
      supports_list_crdt: true,
      supports_direct_blob_io: false
    },
    subscribe: ['world/**'],
    token,
    client: { name: 'nodalmerge', version: '0.1.0', ext: ['ack', 'literal-missing', 'rate'] }
  }])
  t.same([...s.link.ext].sort(), ['ack', 'literal-missing', 'rate'])
  t.same(s.pace.limit, { characters: 262_144, nodes: 750 })
  const plain = stage()
  await plain.to('greeting')
  plain.server.last.frame({ type: 'welcome' })
  t.equal(plain.link.state.state, 'open')
  t.equal(plain.link.ext.size, 0)
  t.same(plain.pace.limit, { characters: 49_152, nodes: 150 })
  t.notOk('subscribe' in plain.server.last.sent[0] || 'token' in plain.server.last.sent[0])
})

t.test('LK-22 every frame finds its handler, packs as bytes', async (t) => {
  const s = stage()
  await s.to('greeting')
  const ack = { type: 'pack-ack', id: 3, incoming_count: 1, accepted_count: 1, rejected_count: 0 }
  for (const frame of [{ type: 'pack', nodes: 'AA==' }, WELCOME, { type: 'pack', nodes: toBase64(Uint8Array.of(1, 2)) }, ack, { type: 'error', msg: 'no' }, { type: 'policy-set' }, { type: 'nope' }]) s.server.last.frame(frame)
  t.match(s.heard, [
    { what: 'pack', value: Uint8Array.of(0) }, { what: 'welcome' }, { what: 'pack', value: Uint8Array.of(1, 2) }, { what: 'ack', value: ack },
    { what: 'error', value: { msg: 'no' } }, { what: 'message', value: { type: 'policy-set' } }, { what: 'message', value: { type: 'unknown', name: 'nope' } }
  ])
})

t.test('LK-23 after an end it waits, longer each time, and starts over after a stable connection', async (t) => {
  const s = stage({ reconnect: { minMs: 100, maxMs: 350 } })
  await s.to('open')
  s.server.last.end(1006)
  t.same(last(s.states), { state: 'waiting', retryInMs: 100, attempt: 1, reason: 'the connection was closed (1006)' })
  t.equal(s.link.ext.size, 0)
  const delays: number[] = []
  for (let i = 0; i < 4; i++) {
    s.clock.advance(i === 0 ? 100 : delays[i - 1])
    await settled()
    s.server.last.end(1011, 'server overload')
    const state = last(s.states)
    delays.push(state.state === 'waiting' ? state.retryInMs : -1)
  }
  t.same(delays, [200, 350, 350, 350])
  t.match(last(s.states), { attempt: 5, reason: 'server overload' })
  s.clock.advance(350)
  await settled()
  s.server.last.open()
  s.server.last.frame(WELCOME)
  s.clock.advance(4_999)
  s.clock.advance(1)
  s.server.last.end(1012)
  t.match(last(s.states), { state: 'waiting', retryInMs: 100, attempt: 1 })
  s.link.connect()
  t.equal(last(s.states).state, 'connecting', 'whoever asks need not wait')
  await settled()
  s.link.disconnect()
  t.equal(s.clock.pending, 0)
})

t.test('LK-24 resync comes back at once, but not twice in a row; a rate limit cools down; a size makes packs smaller', async (t) => {
  const s = stage()
  await s.to('open')
  s.server.last.end(4001, 'resync required')
  t.equal(last(s.states).state, 'connecting')
  await s.to('open')
  t.equal(s.server.sockets.length, 2)
  s.server.last.end(4001, 'resync required')
  t.match(last(s.states), { state: 'waiting', attempt: 2 })

  const fast = stage()
  await fast.to('open')
  const before = fast.pace.limit
  fast.server.last.end(4008, 'rate limit exceeded')
  t.match(last(fast.states), { state: 'waiting', retryInMs: 30_000, reason: 'rate limit exceeded' })
  await fast.to('open')
  t.same(fast.pace.limit, { characters: before.characters / 2, nodes: before.nodes / 2 })
  fast.server.last.end(1009)
  t.same(fast.pace.limit, { characters: before.characters / 4, nodes: before.nodes / 2 })
})

t.test('LK-25 a refusal is final until somebody asks again', async (t) => {
  const asked: string[] = []
  const s = stage({ auth: async ({ room, pubkey }) => { asked.push(`${room} ${pubkey.slice(0, 2)}`); return { sig: 'x', expiry: 4e9 } } })
  await s.to('greeting')
  s.server.last.frame({ type: 'error', msg: 'auth: signature verification failed', code: 'unauthorized.token_invalid', retry: false })
  s.server.last.end(1008, 'auth failed')
  t.same(last(s.states), { state: 'denied', code: 1008, reason: 'signature verification failed' })
  s.clock.advance(3_600_000)
  await settled()
  t.equal(s.server.sockets.length, 1)
  s.link.reauth()
  await settled()
  t.equal(s.server.sockets.length, 2)
  t.same(asked, ['plans aa', 'plans aa'], 'with another token')
  s.server.last.open()
  s.server.last.frame(WELCOME)
  s.link.reauth()
  await settled()
  t.equal(s.server.sockets.length, 3, 'an open link is replaced')
  t.match(s.server.sockets[1].left, { code: 1000 })
  s.link.disconnect()
  s.link.reauth()
  await settled()
  t.equal(s.server.sockets.length, 3, 'nothing is connected that was not asked for')
})

t.test('LK-26 an expired token is replaced by another one', async (t) => {
  let n = 0
  const s = stage({ auth: () => ({ n: ++n, expiry: 4e9 }) })
  await s.to('open')
  s.server.last.end(4002, 'token expired')
  await s.to('greeting')
  t.same(s.server.sockets.map(({ sent }) => sent[0]?.token), [{ n: 1, expiry: 4e9 }, { n: 2, expiry: 4e9 }])
  s.server.last.frame({ type: 'error', msg: 'auth: token has expired' })
  s.server.last.end(1006)
  t.match(last(s.states), { state: 'waiting', reason: 'token has expired' })
  const fixed = stage({ auth: { sig: 'x' } })
  await fixed.to('greeting')
  fixed.server.last.frame({ type: 'error', msg: 'auth: token has expired' })
  fixed.server.last.end(1006)
  t.match(last(fixed.states), { state: 'denied', code: 1006 })
})

t.test('LK-27 a token that cannot be had is waited for; a host that refuses is believed', async (t) => {
  const down = stage({ auth: () => { throw new Error('offline') } })
  await down.to('opening')
  t.equal(down.server.sockets.length, 0)
  t.match(last(down.states), { state: 'waiting', reason: 'offline' })
  t.match(down.of('fault'), [{ message: 'offline' }])
  const odd = stage({ auth: () => { throw 'a text' } }) // eslint-disable-line no-throw-literal
  await odd.to('opening')
  t.match(last(odd.states), { state: 'waiting', reason: 'a text' })
  const out = stage({ auth: async () => { throw new NodalmergeError('unauthorized.denied', 'not a member') } })
  await out.to('opening')
  t.same(last(out.states), { state: 'denied', code: 0, reason: 'not a member' })
  let answer = (_token: null): void => {}
  const slow = stage({ auth: () => new Promise((resolve) => { answer = resolve }) })
  slow.link.connect()
  slow.link.disconnect()
  answer(null)
  await settled()
  t.equal(slow.server.sockets.length, 0)
  t.same(names(slow.states), ['connecting', 'offline'])
  t.same(slow.of('fault'), [])
})

t.test('LK-28 an address that cannot be opened, a socket that does not, a server that says nothing', async (t) => {
  const s = stage()
  s.server.refuse = true
  await s.to('opening')
  t.match(last(s.states), { state: 'waiting', reason: 'that is no address' })
  s.server.refuse = false
  s.clock.advance(500)
  await settled()
  s.clock.advance(20_000)
  t.match(last(s.states), { state: 'waiting', reason: 'the server does not answer' })
  t.ok(s.server.last.left)
  s.link.connect()
  await settled()
  s.server.last.open()
  s.clock.advance(45_000)
  t.match(last(s.states), { state: 'waiting', reason: 'the server does not welcome' })
  const quick = stage()
  quick.server.quick = true
  await quick.to('opening')
  t.equal(last(quick.states).state, 'greeting')
  quick.server.last.open()
  t.equal(quick.server.last.sent.length, 1, 'greeted once')
})

t.test('LK-29 silence of a server that answers is noticed', async (t) => {
  const s = stage()
  await s.to('open')
  const asked = (): number => s.server.last.sent.filter(({ type }) => type === 'server-info').length
  s.clock.advance(20_000)
  s.server.last.frame({ type: 'policy-set' })
  s.clock.advance(29_000)
  t.equal(asked(), 0)
  s.clock.advance(1_000)
  t.equal(asked(), 1)
  s.clock.advance(59_000)
  s.server.last.frame({ type: 'server-info', pubkey: 'cd' })
  s.clock.advance(30_000)
  t.equal(asked(), 2)
  s.network.changed()
  t.equal(asked(), 2, 'asked already')
  s.clock.advance(60_000)
  t.match(last(s.states), { state: 'waiting', reason: 'the server has fallen silent' })

  const original = stage()
  await original.to('greeting')
  original.server.last.frame({ type: 'welcome' })
  original.network.changed()
  original.clock.advance(3_600_000)
  t.equal(last(original.states).state, 'open', 'an original server may not answer')
})

t.test('LK-30 without a network nothing is tried, with one again at once', async (t) => {
  const s = stage()
  s.network.online = false
  await s.to('opening')
  t.same(names(s.states), ['offline'])
  s.network.online = true
  s.network.changed()
  await settled()
  s.server.last.open()
  s.server.last.frame(WELCOME)
  s.network.online = false
  s.network.changed()
  t.equal(last(s.states).state, 'open', 'the socket knows better')
  s.server.last.end(1006)
  t.equal(last(s.states).state, 'waiting')
  s.network.changed()
  t.equal(last(s.states).state, 'offline')
  s.network.online = true
  s.network.changed()
  t.equal(last(s.states).state, 'connecting')
  await settled()
  s.server.last.end(1006)
  s.network.changed()
  t.equal(last(s.states).state, 'connecting', 'nor is a delay waited for')
  s.link.disconnect()
  s.network.changed()
  t.equal(last(s.states).state, 'offline')

  const local = stage({ url: 'http://127.0.0.1:3000' })
  local.network.online = false
  await local.to('open')
  t.equal(last(local.states).state, 'open', 'a server on this machine needs none')
})

t.test('LK-31 a server that sends what cannot be read is given up, with a reason, and tried again later', async (t) => {
  const s = stage()
  await s.to('open')
  const bad = ['{', '[]', 'null', Uint8Array.of(1), { type: 'pack', nodes: '!' }, { type: 'pack', nodes: 1 }, { type: 'pack-ack' }, WELCOME]
  for (const frame of bad) s.server.last.frame(frame)
  t.equal(s.of('fault').length, bad.length)
  t.equal(last(s.states).state, 'open')
  for (const frame of bad) s.server.last.frame(frame)
  t.match(last(s.states), { state: 'waiting', reason: 'the server sends what cannot be read' })
  t.ok(s.server.last.left)
  for (const frame of bad) s.server.last.frame(frame)
  s.server.last.end(1006)
  t.equal(s.of('fault').length, 2 * bad.length, 'and heard no more')

  const early = stage()
  await early.to('greeting')
  early.server.last.frame({ ...WELCOME, root: 5 })
  t.match(last(early.states), { state: 'waiting', reason: 'the server sends what cannot be read' })
})

t.test('LK-32 a handler that throws costs its frame, one that leaves is obeyed', async (t) => {
  const s = stage({}, { pack: () => { throw new Error('a defect') } })
  await s.to('open')
  s.server.last.frame({ type: 'pack', nodes: 'AA==' })
  t.match(s.of('fault'), [{ message: 'a defect' }])
  t.equal(last(s.states).state, 'open')
  const mute = stage({}, { greeting: () => { throw new Error('not loaded') } })
  await mute.to('greeting')
  t.match(mute.of('fault'), [{ message: 'not loaded' }])
  t.match(last(mute.states), { state: 'waiting' })
  for (const at of ['connecting', 'greeting', 'open']) {
    const states: string[] = []
    const shy: Stage = stage({}, {
      state (state) {
        states.push(state.state)
        if (state.state === at) shy.link.disconnect()
      }
    })
    shy.server.quick = true
    await shy.to('opening')
    if (at === 'open') shy.server.last.frame(WELCOME)
    t.equal(states[states.length - 1], 'offline', at)
    t.same(shy.of('welcome'), [])
    t.equal(shy.clock.pending, 0)
  }
})

t.test('LK-33 a socket that is closing swallows frames, and one that refuses a close code is closed without', async (t) => {
  const s = stage()
  await s.to('open')
  s.server.last.broken = 'send'
  t.equal(s.link.send({ type: 'presence-get' }), false)
  s.server.last.broken = 'close'
  s.link.disconnect()
  t.same(s.server.last.left, { code: undefined, reason: undefined })
  const gone = stage()
  await gone.to('open')
  gone.server.last.close()
  t.equal(gone.link.send({ type: 'presence-get' }), false)
  const odd = stage()
  await odd.to('open')
  odd.server.last.end(undefined as unknown as number)
  t.match(last(odd.states), { reason: 'the connection was closed (1006)' })
})
