import { clientFrame, openChannel } from './channel.js'
import { nodesIn } from './frames.js'
import { type Place, each, hello } from './visitor.js'

/** Someone who holds `heads` and lacks `missing` nodes. */
export interface Return { place: Place, heads: readonly string[], missing: number }

export interface Caught { ms: number, bytes: number }

/** A peer that only counts what it is sent: upgraded already, it says hello when told and knows when it has everything. */
async function newcomer ({ place, heads, missing }: Return, author: number): Promise<() => Promise<Caught>> {
  let nodes = 0
  let finish = (): void => {}
  let fail = (_: Error): void => {}
  const done = new Promise<void>((resolve, reject) => { finish = resolve; fail = reject })
  done.catch(() => {})
  const channel = await openChannel(place.port, `/ws/${place.room}`, {
    onFrame (head) {
      nodes += nodesIn(head)
      if (nodes >= missing) finish()
    },
    onEnd: (reason) => fail(reason)
  })
  const greeting = clientFrame(Buffer.from(hello(author, heads)))
  return async () => {
    const start = performance.now()
    channel.write(greeting)
    await done
    const ms = performance.now() - start
    channel.close()
    if (nodes !== missing) throw new Error(`${nodes} nodes came where ${missing} were missing`)
    return { ms, bytes: channel.received }
  }
}

/** `peers` of them at once; answers each one's time and bytes. */
export async function arrive (what: Return, peers: number): Promise<Caught[]> {
  const ready = await each(peers, async (i) => await newcomer(what, i + 1))
  return await Promise.all(ready.map(async (go) => await go()))
}
