import type { Bench } from './bench.js'

/** A room in the store; `heads` says what a client holds that lacks the last `MISSING[i]` nodes. */
export interface History { room: string, length: number, bytes: number, heads: string[][] }

export const MISSING = [1, 10, 100, 1_000]

/** A LevelDB folder with rooms of very different length: keystrokes of one author, each node on top of the one before. */
export async function histories (bench: Bench): Promise<{ folder: string, rooms: History[] }> {
  return await bench.once('histories', async () => {
    const folder = await bench.folder()
    const server = await bench.server({ kind: 'durable', folder })
    const rooms: History[] = []
    for (const length of [1_000, bench.size(100_000, 1_500), bench.size(1_000_000, 2_000)]) {
      const room = `history-${length}`
      const { bytes, ids } = await server.ask('seed', { room, nodes: length, recall: MISSING.map((missing) => length - missing - 1) })
      rooms.push({ room, length, bytes, heads: ids.map((id) => id === '' ? [] : [id]) })
    }
    await server.end()
    return { folder, rooms }
  })
}
