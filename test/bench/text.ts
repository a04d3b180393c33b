import type { Bench } from './bench.js'
import type { EngineCommands, Replayed } from './engine.js'
import type { Remote } from './process.js'
import { atLeast, atMost } from './sample.js'
import { TRACE_EDITS } from './trace.js'

/** Every run has a new text in the same process. */
const RUNS = 5

/** The text engine by itself, and with everything a node needs besides its signature. */
export async function text (bench: Bench): Promise<void> {
  const engine = await bench.engine()
  const stand = await engine.ask('traces') ? '' : ' (typing in its stead)'
  const most = bench.size(TRACE_EDITS, 300)
  await replay(bench, engine, `sequential trace${stand}`, { trace: 'sequential', most, settle: 'end' }, 1_500_000)
  await replay(bench, engine, `concurrent trace${stand}, settled at the end`, { trace: 'concurrent', most, settle: 'end' }, 90_000)
  await replay(bench, engine, `concurrent trace${stand}, settled after every edit`, { trace: 'concurrent', most, settle: 'each' }, 90_000)
  const { edits, seconds } = await engine.ask('build', { most, runs: bench.size(RUNS, 1) })
  bench.report(`sequential trace${stand} as ${edits.toLocaleString('en-US')} nodes, ids and dag included`, 's', { ours: seconds, aim: atMost(1) })
  await engine.end()
}

type Replay = Omit<Parameters<EngineCommands['replay']>[0], 'runs'>

async function replay (bench: Bench, engine: Remote<EngineCommands>, what: string, how: Replay, target: number): Promise<void> {
  const { edits, seconds }: Replayed = await engine.ask('replay', { ...how, runs: bench.size(RUNS, 1) })
  bench.report(`${what}, ${edits.toLocaleString('en-US')} edits`, 'edits/s', { ours: seconds.map((time) => edits / time), aim: atLeast(target) })
}
