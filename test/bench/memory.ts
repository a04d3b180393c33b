import type { Bench, Host } from './bench.js'
import { histories } from './histories.js'
import { atMost } from './sample.js'

/** Lets Node offer garbage collection, so that what is counted is what is held. */
const COLLECT = ['--expose-gc']

/** Resident memory of the whole process: a long room, idle sessions, empty rooms. */
export async function memory (bench: Bench): Promise<void> {
  await longRoom(bench)
  await idleSessions(bench)
  await emptyRooms(bench)
}

async function longRoom (bench: Bench): Promise<void> {
  const { folder, rooms } = await histories(bench)
  const { room, length, bytes } = rooms[rooms.length - 1]
  const server = await bench.server({ kind: 'durable', folder }, COLLECT)
  const before = await settled(server)
  const start = performance.now()
  await server.ask('open', room)
  const seconds = (performance.now() - start) / 1000
  const after = await settled(server)
  await server.end()
  const name = `a room of ${length.toLocaleString('en-US')} nodes`
  bench.report(`${name} of ${Math.round(bytes / length)} bytes, what it added to the process`, 'MB', { ours: [(after.rss - before.rss) / 1e6], aim: atMost(400) })
  bench.report('  the whole process, resident', 'MB', { ours: [after.rss / 1e6] })
  bench.report('  of that in files the system has mapped and may take back', 'MB', { ours: [after.mapped / 1e6] })
  bench.report('  of that in buffers', 'MB', { ours: [after.buffers / 1e6] })
  bench.report('  time to open it', 's', { ours: [seconds] })
}

async function idleSessions (bench: Bench): Promise<void> {
  const sessions = bench.size(1_000, 10)
  const grown = async (kind: 'memory' | 'plain'): Promise<number> => {
    const [server, load] = [await bench.server({ kind }, COLLECT), await bench.load()]
    await load.ask('sit', { place: server.place('warm'), sessions: bench.size(50, 2), apart: false })
    const before = await settled(server)
    await load.ask('sit', { place: server.place('idle'), sessions, apart: false })
    const after = await settled(server)
    await load.end()
    await server.end()
    return (after.rss - before.rss) / sessions / 1024
  }
  bench.report(`${sessions.toLocaleString('en-US')} idle sessions of one room`, 'KiB each', { ours: [await grown('memory')], plain: [await grown('plain')] })
}

async function emptyRooms (bench: Bench): Promise<void> {
  const rooms = bench.size(1_000, 10)
  const server = await bench.server({ kind: 'memory' }, COLLECT)
  for (let i = 0; i < bench.size(50, 2); i++) await server.ask('open', `warm-${i}`)
  const before = await settled(server)
  for (let i = 0; i < rooms; i++) await server.ask('open', `empty-${i}`)
  const after = await settled(server)
  await server.end()
  bench.report(`${rooms.toLocaleString('en-US')} empty rooms`, 'KiB each', { ours: [(after.rss - before.rss) / rooms / 1024] })
}

/** What is left when garbage is gone and what ran has come to rest. */
async function settled (server: Host) {
  await new Promise((resolve) => setTimeout(resolve, 200))
  return await server.ask('usage', true)
}
