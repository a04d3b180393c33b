import type { Bench } from './bench.js'
import { type History, MISSING, histories } from './histories.js'
import type { Caught } from './newcomer.js'
import { atMost, sampleOf } from './sample.js'

/** Enough for a steady median of something that takes a millisecond, after some that are not counted. */
const RUNS = 41
const WARM = 5

/** Coming back after a few missing nodes must cost what is missing, not what the room has become. */
export async function rejoin (bench: Bench): Promise<void> {
  const { folder, rooms } = await histories(bench)
  const server = await bench.server({ kind: 'durable', folder })
  const load = await bench.load()
  for (const { room } of rooms) await server.ask('open', room)
  for (const [i, missing] of MISSING.entries()) {
    const found = new Map<History, Caught[]>(rooms.map((room) => [room, []]))
    for (let run = -WARM; run < bench.size(RUNS, 1); run++) {
      for (const [{ room, heads }, caught] of found) {
        const [once] = await load.ask('arrive', { place: server.place(room), heads: heads[i], missing, peers: 1 })
        if (run >= 0) caught.push(once)
      }
    }
    tell(bench, missing, found)
  }
  await load.end()
  await server.end()
}

function tell (bench: Bench, missing: number, found: Map<History, Caught[]>): void {
  let shortest = 0
  for (const [{ length }, caught] of found) {
    const ms = caught.map((one) => one.ms)
    const aim = shortest === 0 ? undefined : atMost(1.1 * shortest)
    if (shortest === 0) shortest = sampleOf(ms).median
    bench.report(`${missing.toLocaleString('en-US')} missing of ${length.toLocaleString('en-US')}`, 'ms', { ours: ms, aim })
    bench.report('  received', 'bytes', { ours: caught.map(({ bytes }) => bytes) })
  }
}
