import { type Bench, type Host, inTurn } from './bench.js'
import type { LoadCommands } from './load.js'
import type { Remote } from './process.js'
import { TRACE_EDITS } from './trace.js'

const ROOM = 'paper'
/** Nodes of the trace in a frame of about 1 MiB of base64, the size of the server's catch-up frames. */
const PER_FRAME = 3_400
/** Frames plain ws has under way, which no acknowledgement bounds. */
const FRAMES_AHEAD = 4

/**
 * The whole history, the sequential trace as signed nodes, to fresh peers that only count. Plain ws relays the same nodes to as many
 * sockets, in frames of the same size.
 */
export async function join (bench: Bench): Promise<void> {
  const nodes = bench.size(TRACE_EDITS, 500)
  const [server, plain, load] = [await bench.server({ kind: 'memory' }), await bench.server({ kind: 'plain' }), await bench.load()]
  const { bytes } = await server.ask('seed', { room: ROOM, nodes: { trace: nodes } })
  await server.ask('open', ROOM)
  for (const peers of [1, bench.size(50, 2)]) {
    const runs = peers === 1 ? bench.runs : 1
    const { ours, plain: rival } = await inTurn(runs, async () => await joined(server, load, { peers, nodes }), async () => await relayed(plain, load, { peers, nodes }))
    const who = `${peers} fresh peer${peers === 1 ? '' : 's'}, ${nodes.toLocaleString('en-US')} nodes, ${Math.round(bytes / 1e6)} MB`
    bench.report(who, 's', { ours: ours.map(({ result }) => result), plain: rival.map(({ result }) => result) })
    bench.report('  server processor time', 's', { ours: ours.map(({ cpu }) => cpu), plain: rival.map(({ cpu }) => cpu) })
  }
  for (const remote of [load, server, plain]) await remote.end()
}

interface Crowd { peers: number, nodes: number }

async function joined (server: Host, load: Remote<LoadCommands>, { peers, nodes }: Crowd): Promise<{ result: number, cpu: number }> {
  return await server.costOf(async () => {
    const caught = await load.ask('arrive', { place: server.place(ROOM), heads: [], missing: nodes, peers })
    return Math.max(...caught.map(({ ms }) => ms)) / 1000
  })
}

async function relayed (plain: Host, load: Remote<LoadCommands>, { peers, nodes }: Crowd): Promise<{ result: number, cpu: number }> {
  await load.ask('gather', { place: plain.place(ROOM), observers: peers })
  const flood = { kind: 'trace', supply: nodes, nodes, perPack: PER_FRAME, window: FRAMES_AHEAD * PER_FRAME } as const
  const cost = await plain.costOf(async () => await load.ask('flood', flood))
  await load.ask('disperse')
  return cost
}
