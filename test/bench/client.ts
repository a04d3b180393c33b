import type { Bench, Host } from './bench.js'
import { KEY, type Lasted, type Writes } from './client-doc.js'
import { type Aim, atMost, sampleOf } from './sample.js'
import { TRACE_EDITS, traceOf } from './trace.js'
import type { Place } from './visitor.js'

const MIB = 2 ** 20
/** Edits between two turns of the writer's event loop, when it types as fast as it can. */
const PER_TURN = 200
/** A page that stands still for longer is noticed. */
const LONGEST_PAUSE_MS = 50
const COLLECT = ['--expose-gc']
/** As far as a write may be from one in the shortest room and still count as independent of its length. */
const FLAT = 1.5

/** Two clients and a server, each a process of its own, with the server's rates off; the recorded text as clients write it and as others do. */
export async function client (bench: Bench): Promise<void> {
  await typing(bench)
  await keystrokes(bench)
  let shortest: Written | null = null
  for (const nodes of [1_000, bench.size(100_000, 1_200), bench.size(TRACE_EDITS, 1_500)]) {
    const written = await history(bench, nodes, shortest)
    shortest ??= written
  }
}

/** Microseconds. */
interface Written { value: number, key: number }

interface Typed { seconds: number, pause: number, nodes: number, bytes: number, fresh: Arrival }

/** The whole trace as fast as it can be typed. */
async function typing (bench: Bench): Promise<void> {
  const edits = bench.size(TRACE_EDITS, 600)
  const runs: Typed[] = []
  for (let run = 0; run < bench.runs; run++) {
    const server = await bench.server({ kind: 'memory' })
    const typed = await typeAndWatch(bench, server, { edits, perTurn: PER_TURN })
    runs.push({ ...typed, fresh: await arrive(bench, server.place(KEY), lengthOf(edits)) })
    await server.end()
  }
  bench.report(`${edits.toLocaleString('en-US')} edits typed without a pause and shown by another`, 'edits/s', { ours: runs.map(({ seconds }) => edits / seconds) })
  bench.report('  longest pause of the writer', 'ms', { ours: runs.map(({ pause }) => pause), aim: atMost(LONGEST_PAUSE_MS) })
  bench.report('  nodes', '', { ours: runs.map(({ nodes }) => nodes) })
  bench.report('  bytes of nodes', 'per edit', { ours: runs.map(({ bytes }) => bytes / edits) })
  reportArrivals(bench, runs.map(({ fresh }) => fresh))
}

/** Every edit a node of its own, as when keys are further apart than typing is gathered for. */
async function keystrokes (bench: Bench): Promise<void> {
  const edits = bench.size(20_000, 60)
  const runs: Omit<Typed, 'fresh'>[] = []
  for (let run = 0; run < bench.runs; run++) {
    const server = await bench.server({ kind: 'memory' })
    runs.push(await typeAndWatch(bench, server, { edits, perTurn: 20, flushMs: 0 }))
    await server.end()
  }
  bench.report(`${edits.toLocaleString('en-US')} edits, each a node of its own`, 'edits/s', { ours: runs.map(({ seconds }) => edits / seconds) })
  bench.report('  longest pause of the writer', 'ms', { ours: runs.map(({ pause }) => pause), aim: atMost(LONGEST_PAUSE_MS) })
  bench.report('  bytes of nodes', 'per edit', { ours: runs.map(({ bytes }) => bytes / edits) })
}

interface Task { edits: number, perTurn: number, flushMs?: number }

/** One client types, another watches; throws unless both and the server end up with the same text, the recorded one if it is all of it. */
async function typeAndWatch (bench: Bench, server: Host, { edits, perTurn, flushMs }: Task): Promise<Omit<Typed, 'fresh'>> {
  const place = server.place(KEY)
  const [writer, watcher] = [await bench.client(), await bench.client()]
  await writer.ask('open', { place, ...(flushMs === undefined ? {} : { flushMs }) })
  await watcher.ask('open', { place })
  for (const each of [writer, watcher]) await each.ask('synced')
  const shown = watcher.ask('shows', lengthOf(edits))
  const { began, pause } = await writer.ask('type', { edits, perTurn })
  const flushed = await writer.ask('flush')
  const { ended } = await shown
  const { nodes, bytes } = await server.ask('holds', KEY)
  const { endContent } = traceOf('sequential', edits)
  const texts = [await server.ask('text', { room: KEY, key: KEY }), await writer.ask('text'), await watcher.ask('text')]
  if (texts.some((text) => text !== (endContent === '' ? texts[0] : endContent))) throw new Error('the texts are not the same')
  for (const each of [writer, watcher]) await each.end()
  return { seconds: (ended - began) / 1000, pause: Math.max(pause, flushed.pause), nodes, bytes }
}

/** A client that has nothing, from its first line to the text. */
interface Arrival { ms: number, pause: number, grown: number }

async function arrive (bench: Bench, place: Place, length: number, folder?: string): Promise<Arrival> {
  const fresh = await bench.client(COLLECT)
  const before = await fresh.ask('usage')
  const opened = await fresh.ask('open', { place, ...(folder === undefined ? {} : { folder }) })
  const shown = await fresh.ask('shows', length)
  await fresh.ask('synced')
  const grown = await fresh.ask('usage') - before
  await fresh.ask('saved')
  await fresh.end()
  return { ms: shown.ended - opened.began, pause: Math.max(opened.pause, shown.pause), grown }
}

function reportArrivals (bench: Bench, arrivals: readonly Arrival[]): void {
  bench.report('  a fresh client shows the text', 'ms', { ours: arrivals.map(({ ms }) => ms) })
  bench.report('  its longest pause, starting up included', 'ms', { ours: arrivals.map(({ pause }) => pause), aim: atMost(LONGEST_PAUSE_MS) })
  bench.report('  its memory, in addition to that of Node', 'MiB', { ours: arrivals.map(({ grown }) => grown / MIB) })
}

/** Rooms whose every edit is a signed node: what a client takes to get there, to come back, and to write, compared to the shortest. */
async function history (bench: Bench, nodes: number, shortest: Written | null): Promise<Written> {
  const server = await bench.server({ kind: 'memory' })
  const place = server.place(KEY)
  const { bytes } = await server.ask('seed', { room: KEY, nodes: { trace: nodes } })
  await server.ask('open', KEY)
  const folder = await bench.folder()
  const fresh = await arrive(bench, place, lengthOf(nodes), folder)
  bench.report(`a room of ${nodes.toLocaleString('en-US')} nodes`, 'MB', { ours: [bytes / 1e6] })
  reportArrivals(bench, [fresh])
  const back: Lasted[] = []
  const writes: Writes[] = []
  for (let run = 0; run < bench.runs; run++) {
    const client = await bench.client()
    back.push(await client.ask('open', { place, folder, connect: false }))
    // The first ones meet code that is not yet optimised.
    await client.ask('writes', bench.size(300, 5))
    writes.push(await client.ask('writes', bench.size(1_000, 5)))
    await client.end()
  }
  await server.end()
  bench.report('  from local storage', 'ms', { ours: back.map(({ began, ended }) => ended - began) })
  bench.report('  its longest pause, starting up included', 'ms', { ours: back.map(({ pause }) => pause), aim: atMost(LONGEST_PAUSE_MS) })
  return reportWrites(bench, writes, shortest)
}

/** Answers the median of what a value and a key took. */
function reportWrites (bench: Bench, writes: readonly Writes[], shortest: Written | null): Written {
  const [value, key] = [writes.map(({ map }) => map), writes.map(({ key }) => key)]
  const flat = (first: number | undefined): { aim?: Aim } => first === undefined ? {} : { aim: atMost(FLAT * first) }
  bench.report('  a value written', 'µs', { ours: value, ...flat(shortest?.value) })
  bench.report('  a key pressed and made a node', 'µs', { ours: key, ...flat(shortest?.key) })
  bench.report('  the slowest in a hundred', 'µs', { ours: writes.map(({ slowest }) => slowest) })
  return { value: sampleOf(value).median, key: sampleOf(key).median }
}

/** How long the text is after so many edits. */
function lengthOf (edits: number): number {
  return traceOf('sequential', edits).txns.flatMap(({ patches }) => patches).reduce((sum, [, deleted, inserted]) => sum + inserted.length - deleted, 0)
}
