import { type Bench, type Host, inTurn } from './bench.js'

const WINDOW = 4

/** Many small rooms in which every session writes one-op nodes and sees those of the others. */
export async function rooms (bench: Bench): Promise<void> {
  const crowd = { rooms: bench.size(200, 3), perRoom: bench.size(5, 3), nodes: bench.size(40, 4), window: WINDOW }
  const [server, plain, load] = [await bench.server({ kind: 'memory' }), await bench.server({ kind: 'plain' }), await bench.load()]
  const nodes = crowd.rooms * crowd.perRoom * crowd.nodes
  const deliveries = nodes * (crowd.perRoom - 1)
  const go = (host: Host) => async (run: number) => {
    const { result, cpu } = await host.costOf(async () => await load.ask('stampede', { ...crowd, place: host.place(`crowd-${run}`) }))
    return { rate: nodes / result, cost: 1e6 * cpu / deliveries }
  }
  await go(server)(-1)
  const { ours, plain: rival } = await inTurn(bench.runs, go(server), go(plain))
  for (const remote of [load, server, plain]) await remote.end()
  bench.report(`${crowd.rooms} rooms x ${crowd.perRoom} writers`, 'nodes/s', { ours: ours.map(({ rate }) => rate), plain: rival.map(({ rate }) => rate) })
  bench.report('  server processor time, joins included', 'ms/1,000', { ours: ours.map(({ cost }) => cost), plain: rival.map(({ cost }) => cost) })
}
