import { type Bench, type Host, inTurn } from './bench.js'
import { type Kind, OPS } from './corpus.js'
import type { LoadCommands } from './load.js'
import type { Remote } from './process.js'
import { atLeast, sampleOf } from './sample.js'

/** One way to push: operations per node, nodes per pack, packs unacknowledged, nodes in all. */
interface Push { kind: Kind, perPack: number, packsInFlight: number, nodes: number }

const VERIFICATIONS = 40_000
const IN_FLIGHT = 512

/** Pushing into one room: nodes in memory and in LevelDB, beside plain ws that passes the same frames on to one observer. */
export async function ingest (bench: Bench): Promise<void> {
  const engine = await bench.engine()
  const verify = (platform: boolean) => async (): Promise<number> =>
    await engine.ask('verify', { count: bench.size(VERIFICATIONS, 200), flight: IN_FLIGHT, threads: bench.size(2, 1), platform })
  const { ours, plain: verified } = await inTurn(bench.runs, verify(false), verify(true))
  await engine.end()
  bench.report(`Ed25519, two workers, ${IN_FLIGHT} in flight`, 'verifications/s', { ours })
  bench.report('  the same with the platform alone', 'verifications/s', { ours: verified })

  const load = await bench.load()
  const plain = await bench.server({ kind: 'plain' })
  for (const kind of ['memory', 'durable'] as const) {
    const server = await bench.server({ kind, folder: await bench.folder() })
    await pushAll(bench, { kind, server, plain, load, verified: sampleOf(verified).median })
    await server.end()
  }
  await plain.end()
  await load.end()
}

interface Setting { kind: 'memory' | 'durable', server: Host, plain: Host, load: Remote<LoadCommands>, verified: number }

async function pushAll (bench: Bench, setting: Setting): Promise<void> {
  const pushes: Push[] = [
    { kind: 'keystroke', perPack: 1, packsInFlight: 1, nodes: bench.size(4_000, 20) },
    { kind: 'keystroke', perPack: 1, packsInFlight: 64, nodes: bench.size(20_000, 80) },
    { kind: 'keystroke', perPack: 100, packsInFlight: 4, nodes: bench.size(20_000, 200) },
    { kind: 'cells', perPack: 1, packsInFlight: 1, nodes: bench.size(2_000, 10) },
    { kind: 'cells', perPack: 1, packsInFlight: 64, nodes: bench.size(8_000, 80) }
  ]
  for (const push of pushes) await measure(bench, setting, push)
}

async function measure (bench: Bench, { kind, server, plain, load, verified }: Setting, push: Push): Promise<void> {
  const name = `${kind}-${push.kind}-${push.perPack}-${push.packsInFlight}`
  const go = (host: Host) => async (run: number) =>
    await host.costOf(async () => await load.ask('ingest', { ...push, place: host.place(`${name}-${run}`) }))
  await go(server)(-1)
  const { ours, plain: rival } = await inTurn(bench.runs, go(server), go(plain))
  const label = `${kind}, ${push.perPack} node${push.perPack === 1 ? '' : 's'} a pack, ${push.packsInFlight} in flight`
  const perSecond = (scale: number) => ({ result }: { result: number }): number => scale * push.nodes / result
  const ops = OPS[push.kind]
  if (ops === 1) {
    bench.report(`${label}`, 'nodes/s', { ours: ours.map(perSecond(1)), plain: rival.map(perSecond(1)), aim: aimOf(kind, push, verified) })
  } else {
    const aim = push.packsInFlight > 1 ? atLeast(200_000) : undefined
    bench.report(`${label}, ${ops} ops a node`, 'edits/s', { ours: ours.map(perSecond(ops)), plain: rival.map(perSecond(ops)), aim })
  }
  const cost = ({ cpu }: { cpu: number }): number => 1e6 * cpu / push.nodes
  bench.report('  server processor time', 'us/node', { ours: ours.map(cost), plain: rival.map(cost) })
}

function aimOf (kind: 'memory' | 'durable', { perPack, packsInFlight }: Push, verified: number) {
  if (perPack > 1) return undefined
  if (kind === 'durable') return atLeast(packsInFlight === 1 ? 2_500 : 15_000)
  return packsInFlight === 1 ? undefined : atLeast(0.8 * verified)
}
