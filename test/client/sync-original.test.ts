import t from 'tap'
import { readPolicy } from '../../lib/protocol/policy.js'
import { createFakeClock } from '../../lib/testing/clock.js'
import { type Rig, createRig, turns, until } from './sync-rig.js'
import { type OriginalHost, originalHost } from './sync-hosts.js'

const WELCOME_MS = 100

/** Connects and waits for the welcome, which comes by the clock. */
async function join (rig: Rig, host: OriginalHost): Promise<void> {
  const before = rig.received.filter(({ type }) => type === 'welcome').length
  rig.connect(host)
  await turns(3)
  rig.clock.advance(WELCOME_MS)
  await until(() => rig.received.filter(({ type }) => type === 'welcome').length > before, 'the welcome')
}

const synced = (rig: Rig): Promise<void> => until(() => rig.sync.synced, 'in sync')
const held = (host: OriginalHost): number => host.server.room('plans').dag.size

t.test('SY-20 an original server that never acknowledges is asked for the end of what was sent', async (t) => {
  const a = await createRig(t)
  const host = originalHost(a.clock)
  await join(a, host)
  for (let i = 0; i < 50; i++) a.set(`k${i}`)
  await synced(a)
  t.equal(held(host), 50)
  t.same(a.sync.counts, { unsaved: 0, unsent: 0, unacknowledged: 0 })
  t.equal(a.storage.waiting.size, 0)
  const asked = a.sent.filter(({ type }) => type === 'mst-done')
  t.ok(asked.length >= 1 && asked.length < 5)
  t.same(asked.map((frame) => frame.type === 'mst-done' && frame.ids.length), asked.map(() => 1), 'a chain is proven by its end')
})

t.test('SY-21 the ambiguous list of an original welcome is not believed; histories in no order come in whole', async (t) => {
  const clock = createFakeClock()
  const a = await createRig(t, { seedByte: 1, clock })
  const b = await createRig(t, { seedByte: 2, clock })
  const host = originalHost(clock)
  await join(a, host)
  for (let i = 0; i < 1500; i++) a.set(`k${i}`)
  for (let second = 0; second < 30 && !a.sync.synced; second++) {
    await turns(100)
    clock.advance(1000)
  }
  await synced(a)
  b.set('offline')
  await join(b, host)
  t.ok((b.received[0].missing as string[]).length > 0, 'it lists its own nodes')
  await synced(b)
  t.equal(held(host), 1501)
  t.equal(b.sync.views.document.keys('map').length, 1501)
  await until(() => a.get('offline') === 'v', 'live')
})

t.test('SY-22 a node refused by text alone is found, by its key or by its id, and the others arrive', async (t) => {
  const a = await createRig(t)
  const host = originalHost(a.clock)
  host.server.setPolicy('plans', readPolicy({ type: 'set-policy', default: 'allow', rules: [{ path_glob: 'forbidden', can_write: [] }] }))
  await join(a, host)
  for (let i = 0; i < 100; i++) a.set(i === 50 || i === 70 ? 'forbidden' : `k${i}`, `v${i}`)
  for (let second = 0; second < 20 && !a.sync.synced; second++) {
    await turns(50)
    a.clock.advance(1000)
  }
  await synced(a)
  t.equal(held(host), 98)
  t.match(a.rejections, [{ code: 'reject.policy_violation' }, { code: 'reject.policy_violation' }])
  t.equal(a.get('forbidden'), undefined)
  t.equal(a.get('k99'), 'v99')
  t.equal(a.storage.confirmed.size, 98)
})
