import t from 'tap'
import assert from 'node:assert/strict'
import { createRandom, type Random } from '../peer/random.js'
import { randomEdit } from './handles-edits.js'
import { type HandlesPeer, type Mirror, createPeer, exchange, mirror, shown } from './handles-peer.js'

const SEEDS = Array.from({ length: 25 }, (_, seed) => seed + 1)

t.test('HD-30 undo alone restores exactly, step by step, and redo mirrors it', async (t) => {
  for (const seed of SEEDS) {
    const random = createRandom(seed)
    const [peer, other] = [createPeer(1), createPeer(2)]
    for (let i = 0; i < 20; i++) randomEdit(random, other)
    exchange(peer, other)
    const undo = peer.handles.undoManager({ captureTimeout: random.pick([0, 2]) })
    const states = [shown(peer)]
    undo.onChange(({ kind }) => {
      if (kind === 'added') states.push(null)
    })
    for (let i = 0; i < 40; i++) {
      randomEdit(random, peer)
      peer.clock.advance(random.below(3))
      peer.handles.flush()
      states[states.length - 1] = shown(peer)
    }
    const steps = states.length
    assert.ok(steps > 5)
    for (let round = 0; round < 3; round++) {
      for (let at = steps - 2; at >= 0; at--) {
        assert.equal(undo.undo(), true)
        assert.deepEqual(shown(peer), states[at], `seed ${seed}: undo to ${at}`)
      }
      assert.equal(undo.canUndo, false)
      for (let at = 1; at < steps; at++) {
        assert.equal(undo.redo(), true)
        assert.deepEqual(shown(peer), states[at], `seed ${seed}: redo to ${at}`)
      }
      assert.equal(undo.canRedo, false)
    }
  }
  t.pass()
})

t.test('HD-31 peers that edit, undo, part and are refused come to the same state, and observers know all of it', async (t) => {
  for (const seed of SEEDS) {
    const random = createRandom(1000 + seed)
    const peers = Array.from({ length: 3 + random.below(6) }, (_, i) => createPeer(i + 1))
    const mirrors = peers.map(mirror)
    const undos = peers.map(({ handles }) => handles.undoManager({ captureTimeout: random.pick([0, 500]) }))
    for (let step = 0; step < 150; step++) {
      const at = random.below(peers.length)
      const peer = peers[at]
      const kind = random.below(12)
      if (kind < 6) randomEdit(random, peer)
      else if (kind === 6) undos[at].undo()
      else if (kind === 7) undos[at].redo()
      else if (kind === 8) peer.clock.advance(random.below(600))
      else if (kind === 9) refuseSome(random, peer)
      else deliver(random, peer, random.pick(peers))
      check(peer, mirrors[at], `seed ${seed}, step ${step}`)
    }
    exchange(...peers)
    for (const [i, peer] of peers.entries()) {
      peer.core.receive(peers.flatMap(({ core }) => core.written))
      check(peer, mirrors[i], `seed ${seed}, at the end`)
      assert.deepEqual(peer.errors, [])
    }
    for (const peer of peers) {
      assert.deepEqual(shown(peer), shown(peers[0]), `seed ${seed}: equal states`)
      assert.deepEqual(peer.list.ids(), peers[0].list.ids())
      assert.deepEqual(peer.handles.canonical.map('map').all(), peer.map.all())
      assert.equal(peer.handles.canonical.text('text').toString(), peer.text.toString())
      assert.deepEqual(peer.handles.canonical.list('list').toArray(), peer.list.toArray())
    }
  }
  t.pass()
})

function check ({ text, map, list }: HandlesPeer, seen: Mirror, where: string): void {
  assert.equal(seen.text, text.toString(), `${where}: text`)
  assert.deepEqual(seen.map, new Map(map.entries()), `${where}: map`)
  assert.deepEqual(new Map([...seen.list].sort()), new Map(list.toArray().map(({ id, content }): [string, unknown] => [id, content]).sort()), `${where}: list`)
}

/** Only what no other peer has can be refused. */
function refuseSome (random: Random, { core }: HandlesPeer): void {
  if (core.pending.length > 0 && random.chance(0.3)) core.refuse(core.pending[core.pending.length - 1 - random.below(Math.min(3, core.pending.length))])
}

/** Part of what one peer wrote, in any order and with repeats. */
function deliver (random: Random, from: HandlesPeer, to: HandlesPeer): void {
  if (random.chance(0.5)) for (const node of [...from.core.pending]) from.core.accept(node)
  const settled = from.core.written.filter((node) => !from.core.pending.includes(node))
  const chosen = random.shuffled(settled).slice(0, random.below(settled.length + 1))
  to.core.receive(random.chance(0.2) ? [...chosen, ...chosen] : chosen)
}
