import t from 'tap'
import { type PresenceDriver, type PresenceEvent, type PresenceOptions, createPresence } from '../../lib/client/presence.js'
import { createThrottle } from '../../lib/client/throttle.js'
import { parseServerMessage, type Welcome } from '../../lib/protocol/server-message.js'
import { type FakeClock, createFakeClock } from '../../lib/testing/clock.js'

interface State { name?: string, x?: number }
interface Stage { presence: PresenceDriver<State>, clock: FakeClock, sent: object[], events: PresenceEvent<State>[], faults: unknown[], hear (message: object): boolean, join (ours: boolean): void }

const ME = 'aa'.repeat(32)
const BOB = 'bb'.repeat(32)
const welcome = (session: number | undefined): Welcome => {
  const message = parseServerMessage(JSON.stringify({ type: 'welcome', session_id: session }))
  if (message.type !== 'welcome') throw new Error('no welcome')
  return message
}

function stage (options?: PresenceOptions): Stage {
  const clock = createFakeClock()
  const sent: object[] = []
  const faults: unknown[] = []
  const events: PresenceEvent<State>[] = []
  const presence = createPresence<State>({ pubkey: ME, clock, options, send: (message) => sent.push(message) > 0, fault: (error) => { faults.push(error) } })
  presence.observe((event) => { events.push(event) })
  return {
    presence,
    clock,
    sent,
    events,
    faults,
    hear: (message) => presence.message(parseServerMessage(JSON.stringify(message))),
    join: (ours) => { presence.welcome(welcome(ours ? 7 : undefined), ours) }
  }
}

t.test('LK-40 with our server presence is told and known by session', async (t) => {
  const s = stage()
  t.same(s.presence.set({ name: 'A' }), { name: 'A' })
  t.same(s.sent, [])
  s.join(true)
  t.same(s.sent, [{ type: 'presence-get' }, { type: 'presence-set', data: { name: 'A' } }])
  t.ok(s.hear({ type: 'presence-snapshot', room: 'r', entries: [{ session_id: 7, from_peer_pubkey: ME, data: { name: 'A' } }, { session_id: 8, from_peer_pubkey: ME, data: { name: 'tab' } }, { session_id: 9, from_peer_pubkey: BOB, data: { x: 1 } }] }))
  t.same(s.presence.others().map(({ sessionId, state }) => [sessionId, state]), [[8, { name: 'tab' }], [9, { x: 1 }]], 'two tabs of one identity are two peers')
  s.hear({ type: 'presence', from: BOB, session_id: 9, data: { x: 2 } })
  s.hear({ type: 'presence', from: ME, session_id: 7, data: { x: 2 } })
  s.hear({ type: 'presence', from: BOB, session_id: 10, data: { x: 3 }, joined: true })
  s.hear({ type: 'presence-leave', session_id: 10, from: BOB, reason: 'stale' })
  s.hear({ type: 'presence-leave', session_id: 8, from: ME, reason: 'leave' })
  s.hear({ type: 'presence-leave', session_id: 99, from: ME, reason: 'leave' })
  s.hear({ type: 'presence', from: BOB, session_id: 9, data: null })
  t.same(s.events.map(({ type, reason, peer }) => [type, peer.sessionId, reason]), [
    ['join', 8, undefined], ['join', 9, undefined], ['update', 9, undefined], ['join', 10, undefined], ['leave', 10, 'stale'], ['leave', 8, 'disconnect'], ['leave', 9, 'cleared']
  ])
  t.same(s.presence.others(), [])
})

t.test('LK-41 with an original server it is told and known by key', async (t) => {
  const s = stage()
  s.join(false)
  t.same(s.sent, [])
  s.presence.setField('x', 1)
  t.same(s.sent, [{ type: 'presence', data: { x: 1 } }])
  s.hear({ type: 'presence', from: ME, data: { x: 5 } })
  s.hear({ type: 'presence', from: BOB, data: { x: 2 } })
  t.same(s.presence.others(), [{ sessionId: null, pubkey: BOB, state: { x: 2 }, lastSeen: s.clock.now() }])
  s.clock.advance(1_000)
  t.notOk(s.hear({ type: 'peer-joined', pubkey: 'cc' }))
  t.same(s.sent.length, 2, 'a newcomer is told')
  t.notOk(s.hear({ type: 'peer-left', from: BOB }))
  t.same(s.events.map(({ type }) => type), ['join', 'leave'])
  t.notOk(s.hear({ type: 'policy-set' }))
})

t.test('LK-42 a peer that does not name its session in a room that lists it is one peer', async (t) => {
  const s = stage()
  s.join(true)
  s.hear({ type: 'presence-snapshot', entries: [{ session_id: 9, from_peer_pubkey: BOB, data: { x: 1 } }] })
  s.hear({ type: 'presence', from: BOB, data: { x: 2 } })
  t.match(s.presence.others(), [{ sessionId: 9, state: { x: 2 } }])
  t.equal(s.presence.others().length, 1)
  s.hear({ type: 'presence', from: 'cc', data: { x: 3 } })
  s.hear({ type: 'presence-leave', session_id: 12, from: 'cc' })
  t.equal(s.presence.others().length, 1)
  s.hear({ type: 'presence', from: BOB, session_id: 10, data: { x: 4 } })
  s.hear({ type: 'presence', from: BOB, data: { x: 5 } })
  t.same(s.presence.others().map(({ sessionId }) => sessionId), [9, 10, null], 'which of two it is cannot be told')
})

t.test('LK-43 states are sent twenty times a second at most, the last one always', async (t) => {
  const s = stage()
  s.join(true)
  for (let x = 0; x < 10; x++) {
    s.presence.set({ x })
    s.clock.advance(10)
  }
  s.clock.advance(50)
  t.same(s.sent.slice(1), [0, 4, 9].map((x) => ({ type: 'presence-set', data: { x } })))
  s.clock.advance(14_949)
  t.equal(s.sent.length, 4)
  s.clock.advance(1)
  t.same(s.sent[4], { type: 'presence-set', data: { x: 9 } }, 'and every 15 seconds')
  s.hear({ type: 'peer-joined', from: BOB })
  s.clock.advance(500)
  s.hear({ type: 'peer-joined', from: BOB })
  s.clock.advance(500)
  t.equal(s.sent.length, 6, 'newcomers wait a second, all together')
  s.presence.clear()
  s.presence.clear()
  t.equal(s.presence.me(), undefined)
  s.clock.advance(50)
  t.same(s.sent[6], { type: 'presence-set', data: null })
  s.hear({ type: 'peer-joined', from: BOB })
  s.clock.advance(60_000)
  t.equal(s.sent.length, 7, 'nothing is said again')
  const still = stage({ heartbeatMs: 0, staleMs: 0 })
  still.join(false)
  still.presence.set({ x: 1 })
  t.equal(still.clock.pending, 0)
})

t.test('LK-44 who is unheard of is gone, unless the server would say so', async (t) => {
  const s = stage({ staleMs: 3_000 })
  s.join(true)
  s.hear({ type: 'presence', from: BOB, session_id: 9, data: {} })
  s.hear({ type: 'presence', from: 'cc', data: {} })
  s.clock.advance(2_999)
  t.equal(s.presence.others().length, 2)
  s.clock.advance(1_000)
  t.match(s.presence.others(), [{ sessionId: 9 }])
  s.clock.advance(10_000)
  t.equal(s.presence.others().length, 1)
  s.presence.disconnected()
  s.clock.advance(1_000)
  t.same(s.presence.others(), [])
  t.same(s.events.filter(({ type }) => type === 'leave').map(({ reason }) => reason), ['stale', 'stale'])
})

t.test('LK-45 after a reconnect the state is said again, and what the server does not list is gone', async (t) => {
  const s = stage()
  s.join(true)
  s.presence.set({ x: 1 })
  s.hear({ type: 'presence', from: BOB, session_id: 9, data: { x: 1 } })
  s.hear({ type: 'presence', from: 'cc', data: { x: 1 } })
  s.presence.disconnected()
  s.presence.set({ x: 2 })
  s.hear({ type: 'peer-joined', from: 'dd' })
  t.equal(s.presence.others().length, 2)
  s.clock.advance(1_000)
  t.equal(s.sent.length, 2)
  s.join(true)
  t.same(s.sent.slice(2), [{ type: 'presence-get' }, { type: 'presence-set', data: { x: 2 } }])
  s.hear({ type: 'presence-snapshot', entries: [{ session_id: 11, from: BOB, data: { x: 7 } }] })
  t.same(s.presence.others().map(({ sessionId }) => sessionId), [null, 11])
  s.presence.close()
  t.same(s.presence.others(), [])
  t.equal(s.clock.pending, 0)
  const odd = stage({ staleMs: 0 })
  odd.presence.welcome(welcome(undefined), true)
  odd.hear({ type: 'presence-snapshot', entries: [{ from: BOB, data: { x: 1 } }] })
  t.match(odd.presence.others(), [{ sessionId: null, pubkey: BOB }], 'whoever names no session is known by key')
  odd.hear({ type: 'presence-leave', from: BOB })
  t.same(odd.presence.others(), [])
  odd.presence.close()
})

t.test('LK-46 a state is an object of bounded size, whoever makes it, and others are counted', async (t) => {
  const s = stage()
  s.join(true)
  t.throws(() => s.presence.set(5 as never), TypeError)
  t.throws(() => s.presence.set(null as never), TypeError)
  t.throws(() => s.presence.set({ name: 'x'.repeat(65_536) }), RangeError)
  const loop: { self?: unknown } = {}
  loop.self = loop
  t.throws(() => s.presence.set(loop as State), TypeError)
  t.equal(s.presence.me(), undefined)
  for (const data of [5, 'text', { name: 'x'.repeat(65_536) }]) t.throws(() => s.hear({ type: 'presence', from: BOB, session_id: 9, data }), { code: 'reject.protocol_invalid_field' })
  t.throws(() => s.hear({ type: 'presence-snapshot', entries: [{ session_id: 9, from: BOB, data: 5 }, { session_id: 10, from: BOB, data: {} }] }))
  t.match(s.presence.others(), [{ sessionId: 10 }], 'one bad entry costs itself')
  for (let i = 11; i < 4_106; i++) s.hear({ type: 'presence', from: BOB, session_id: i, data: {} })
  t.equal(s.presence.others().length, 4_096)
  t.throws(() => s.hear({ type: 'presence', from: BOB, session_id: 9_999, data: {} }), { code: 'reject.protocol_message_too_large' })
  s.hear({ type: 'presence', from: BOB, session_id: 11, data: { x: 1 } })
  t.equal(s.presence.others().length, 4_096)
})

t.test('LK-47 a listener that throws harms nobody', async (t) => {
  const s = stage()
  s.join(false)
  const stop = s.presence.observe(() => { throw new Error('a defect') })
  s.presence.observe((event) => { s.events.push(event) })
  s.hear({ type: 'presence', from: BOB, data: { x: 1 } })
  t.match(s.faults, [{ message: 'a defect' }])
  t.equal(s.events.length, 2)
  stop()
  s.hear({ type: 'presence', from: BOB, data: { x: 2 } })
  t.equal(s.faults.length, 1)
})

t.test('LK-48 a throttle that was cancelled starts over', async (t) => {
  const clock = createFakeClock()
  let runs = 0
  const throttle = createThrottle(clock, 100, () => { runs++ })
  throttle.within(500)
  throttle.within(700)
  throttle.ask()
  throttle.ask()
  throttle.ask()
  throttle.cancel()
  clock.advance(1_000)
  t.equal(runs, 1)
  throttle.ask()
  t.equal(runs, 2)
})
