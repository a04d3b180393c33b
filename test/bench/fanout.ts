import { type Bench, type Host, inTurn } from './bench.js'
import type { LoadCommands } from './load.js'
import type { Remote } from './process.js'
import { timesAtLeast, timesAtMost } from './sample.js'

/** Observers, edits per second at the fixed rate, and how many edits each measurement has. */
interface Hall { observers: number, rate: number, paced: number, ours: number, plain: number }

/** Nodes on their way to the slowest observer: what a session may have unacknowledged before its socket is paused. */
const WINDOW = 256
const KIND = 'keystroke'

/** One writer, many observers, nodes of one operation: as fast as the slowest observer follows, then latency at a fixed rate. */
export async function fanout (bench: Bench): Promise<void> {
  const halls: Hall[] = [
    { observers: 1, rate: 100, paced: bench.size(300, 3), ours: bench.size(20_000, 50), plain: bench.size(20_000, 50) },
    { observers: bench.size(100, 3), rate: 50, paced: bench.size(150, 3), ours: bench.size(12_000, 50), plain: bench.size(6_000, 50) },
    { observers: bench.size(1_000, 5), rate: 10, paced: bench.size(40, 3), ours: bench.size(3_000, 50), plain: bench.size(800, 50) }
  ]
  for (const hall of halls) {
    const [server, plain, load, rivalLoad] = [await bench.server({ kind: 'memory' }), await bench.server({ kind: 'plain' }), await bench.load(), await bench.load()]
    await load.ask('gather', { place: server.place('hall'), observers: hall.observers })
    await rivalLoad.ask('gather', { place: plain.place('hall'), observers: hall.observers })
    const setting = { server, plain, load, rivalLoad }
    // In this order, so that what is timed one by one runs code that is warm.
    await atHighestRate(bench, hall, setting)
    await atFixedRate(bench, hall, setting)
    for (const remote of [load, rivalLoad, server, plain]) await remote.end()
  }
}

interface Setting { server: Host, plain: Host, load: Remote<LoadCommands>, rivalLoad: Remote<LoadCommands> }

/** How many nodes the writer signs for a hall in all. */
const supplyOf = (bench: Bench, { paced, ours, plain }: Hall): number => (bench.runs + 1) * (paced + Math.max(ours, plain))

async function atFixedRate (bench: Bench, hall: Hall, { load, rivalLoad }: Setting): Promise<void> {
  const go = (by: Remote<LoadCommands>) => async () => await by.ask('pace', { kind: KIND, supply: supplyOf(bench, hall), nodes: hall.paced, rate: hall.rate })
  const { ours, plain } = await inTurn(bench.runs, go(load), go(rivalLoad))
  for (const share of ['p50', 'p99'] as const) {
    const of = (result: { p50: number, p99: number }): number => result[share]
    bench.report(`${hall.observers} observers, ${hall.rate} edits/s, latency ${share}`, 'ms', { ours: ours.map(of), plain: plain.map(of), aim: timesAtMost(1.3) })
  }
}

async function atHighestRate (bench: Bench, hall: Hall, { server, plain, load, rivalLoad }: Setting): Promise<void> {
  const go = (host: Host, by: Remote<LoadCommands>, nodes: number) => async () => {
    const flood = { kind: KIND, supply: supplyOf(bench, hall), nodes, perPack: 1, window: WINDOW } as const
    const { result, cpu } = await host.costOf(async () => await by.ask('flood', flood))
    return { rate: nodes * hall.observers / result, cost: 1000 * cpu / (nodes * hall.observers) * 1000 }
  }
  await go(server, load, Math.ceil(hall.ours / 4))()
  await go(plain, rivalLoad, Math.ceil(hall.plain / 4))()
  const { ours, plain: rival } = await inTurn(bench.runs, go(server, load, hall.ours), go(plain, rivalLoad, hall.plain))
  const aim = hall.observers > 1 ? timesAtLeast(5) : undefined
  bench.report(`${hall.observers} observers, highest rate`, 'deliveries/s', { ours: ours.map(({ rate }) => rate), plain: rival.map(({ rate }) => rate), aim })
  bench.report('  server processor time', 'ms/1,000', { ours: ours.map(({ cost }) => cost), plain: rival.map(({ cost }) => cost) })
}
