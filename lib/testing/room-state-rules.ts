import assert from 'node:assert/strict'
import type { RoomState } from '../store/node-store.js'
import { ODD_ROOMS } from './node-append-rules.js'
import { type NodeStoreRule, appendTo, loadAll, sameNodes } from './node-store-rule.js'
import { sampleNodes } from './sample-nodes.js'

const rule = { pathGlob: 'docs/**', canWrite: ['editor', '\u{1f600}'], canRead: ['*'], canDerive: [] }

export const STATE: RoomState = {
  key: '0f'.repeat(32),
  timeline: [
    { effectiveLamport: 0, policy: { rules: [], default: 'allow' } },
    { effectiveLamport: Number.MAX_SAFE_INTEGER, policy: { rules: [rule, { ...rule, pathGlob: '' }], default: 'deny' } }
  ]
}

export const roomStateRules: NodeStoreRule[] = [
  {
    title: 'NS-21 control state comes back as it was put',
    async run ({ store }) {
      assert.equal(await store.state('room'), null)
      await store.putState('room', STATE)
      assert.deepEqual(await store.state('room'), STATE)
      await store.putState('room', { key: null, timeline: [] })
      assert.deepEqual(await store.state('room'), { key: null, timeline: [] })
    }
  },
  {
    title: 'NS-22 control state belongs to one room and leaves its nodes alone',
    async run ({ store }) {
      await appendTo(store, 'a', 0, sampleNodes(0, 3))
      for (const [i, room] of ODD_ROOMS.entries()) {
        await store.putState(room, { ...STATE, timeline: [{ ...STATE.timeline[0], effectiveLamport: i }] })
      }
      for (const [i, room] of ODD_ROOMS.entries()) {
        assert.equal((await store.state(room))?.timeline[0].effectiveLamport, i, `the state of ${JSON.stringify(room)}`)
      }
      assert.equal(await store.version('a'), 3)
      sameNodes(await loadAll(store, 'a'), sampleNodes(0, 3))
      assert.equal((await appendTo(store, 'a', 3, sampleNodes(3, 1))).last, 4)
    }
  },
  {
    title: 'NS-23 control state is not shared with the caller',
    async run ({ store }) {
      const mine = structuredClone(STATE)
      await store.putState('room', mine)
      mine.timeline.pop()
      const read = await store.state('room')
      read?.timeline.pop()
      assert.deepEqual(await store.state('room'), STATE)
    }
  },
  {
    title: 'NS-24 what is no control state is refused and changes nothing',
    async run ({ store }) {
      const put = (state: unknown): Promise<void> => store.putState('room', state as RoomState)
      await put(STATE)
      const entry = { effectiveLamport: 0, policy: { rules: [], default: 'maybe' } }
      for (const state of [null, {}, { ...STATE, key: 'AB' }, { ...STATE, timeline: [entry] }, { ...STATE, other: 1 }]) {
        await assert.rejects(put(state), TypeError)
      }
      assert.deepEqual(await store.state('room'), STATE)
      await assert.rejects(store.putState('', STATE), RangeError)
    }
  }
]
