import t, { type Test } from 'tap'
import type { PeerConnection } from '../../lib/testing/connection.js'
import { type Peer, createPeer } from '../../lib/testing/peer.js'
import { readNode, scanNode } from '../../lib/protocol/node.js'
import type { TextOp } from '../../lib/protocol/op.js'
import { cursor } from '../../lib/protocol/postcard.js'
import { toHex } from '../../lib/protocol/hex.js'
import { createText } from '../../lib/state/text.js'
import { build, run } from '../crash/built.js'
import { blake3, joinAt, peer } from '../plugin/host.js'
import { editsToOps, loadConcurrent, loadSequential } from '../state/traces.js'
import { type SignedEdit, signEdits, signersFor } from './signed.js'

const SERVER = build(t.testdir(), 'test/crash/server.ts')
const PATIENCE_MS = 80_000

/** The canonical text of what a peer holds. */
function textOf (holder: Peer): string {
  const text = createText()
  for (const node of holder.nodes()) {
    const { id, author, lamport, ops } = readNode(scanNode(cursor(node)))
    text.apply({ id, author, lamport }, ops as TextOp[])
  }
  return text.toString()
}

function join (url: unknown, holder: Peer, chunk = 1 << 20): PeerConnection {
  return joinAt(`${String(url)}/ws/paper`, 'paper', holder, { chunk, within: PATIENCE_MS })
}

/** Restarts the server on its folder and lets a peer join that has nothing; checks that it ends up with the text. */
async function checkAfterRestart (t: Test, data: string, root: string, endContent: string): Promise<void> {
  const began = performance.now()
  const child = await run(t, SERVER, [data])
  const fresh = join(child.ready.url, peer(7, { verify: false }))
  await fresh.synced()
  t.comment(`opened, loaded and caught up ${fresh.peer.size} nodes in ${Math.round(performance.now() - began)} ms`)
  t.equal(fresh.welcome?.root, root)
  t.equal(fresh.peer.root, root)
  t.ok(textOf(fresh.peer) === endContent, 'the text is the recorded one, to the character')
  await child.end('SIGTERM')
}

t.test('TR-1 259,778 edits, one signed node each, through the server, its restart and a newcomer are the recorded text', { timeout: 150_000 }, async (t) => {
  const trace = loadSequential()
  const data = t.testdir()
  const child = await run(t, SERVER, [data])
  const nodes: Uint8Array[] = []
  for (const { node } of signEdits(editsToOps(trace), signersFor(1), blake3)) nodes.push(node)
  t.equal(nodes.length, 259_778)
  const writer = join(child.ready.url, createPeer({ blake3, nodes, verify: false }))
  const began = performance.now()
  await writer.synced()
  t.comment(`pushed, verified and durable in ${Math.round(performance.now() - began)} ms`)
  t.equal(writer.refused.size, 0)
  const { root } = writer.peer
  await child.end('SIGKILL')
  await checkAfterRestart(t, data, root, trace.endContent)
})

/** Plays one agent of a trace: writes its next edits as soon as it holds what they were written on. */
async function play (connection: PeerConnection, edits: readonly SignedEdit[], agent: number): Promise<void> {
  const own = edits.filter((edit) => edit.agent === agent)
  const { peer: holder } = connection
  const names = new Map<number, string>()
  const nameOf = (index: number): string => {
    const name = names.get(index) ?? toHex(edits[index].id)
    names.set(index, name)
    return name
  }
  let next = 0
  const write = (): boolean => {
    if (connection.state === 'closed') throw new Error('the connection ended')
    const batch: Uint8Array[] = []
    while (next < own.length && own[next].parents.every((parent) => holder.has(nameOf(parent)))) {
      holder.receive(holder.pack([own[next].node]))
      batch.push(own[next++].node)
    }
    if (batch.length > 0) connection.publish(batch)
    return next === own.length
  }
  await connection.until(write, 'the turn of every edit')
}

t.test('TR-2 two peers who write at the same time, each on what the recording says it had seen, end up with the recorded text', { timeout: 100_000 }, async (t) => {
  const trace = loadConcurrent()
  const signers = signersFor(trace.agents)
  const edits = [...signEdits(editsToOps(trace, 'characters'), signers, blake3)]
  const data = t.testdir()
  const child = await run(t, SERVER, [data])
  const pair = signers.map((signer, agent) => join(child.ready.url, createPeer({ blake3, seed: new Uint8Array(32).fill(80 + agent), verify: false })))
  await Promise.all(pair.map((each) => each.synced()))
  const began = performance.now()
  await Promise.all(pair.map((each, agent) => play(each, edits, agent)))
  await Promise.all(pair.map((each) => each.until(() => each.unacknowledged === 0 && each.peer.size === edits.length, 'all edits')))
  t.comment(`${edits.length} edits of ${trace.agents} agents in ${Math.round(performance.now() - began)} ms, ${pair.reduce((sum, { sent }) => sum + sent.frames, 0)} frames sent`)
  t.ok(pair.every(({ refused }) => refused.size === 0))
  t.equal(pair[0].peer.root, pair[1].peer.root)
  for (const each of pair) t.ok(textOf(each.peer) === trace.endContent)
  await child.end('SIGKILL')
  await checkAfterRestart(t, data, pair[0].peer.root, trace.endContent)
})
