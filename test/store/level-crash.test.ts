import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { levelNodes } from '../../lib/store/level.js'
import type { NodeStore } from '../../lib/store/node-store.js'
import { loadAll, sameNodes } from '../../lib/testing/node-store-rule.js'
import { sampleNodes } from '../../lib/testing/sample-nodes.js'
import { plainScript } from './plain-script.js'

const CHILD = plainScript(t.testdir(), 'test/store/append-child.ts')
type Child = ChildProcessByStdio<null, Readable, null>

/**
 * Starts the appending process, under a shell's limit when there is one. The test runner's preloads stay out of it: they are slow,
 * and they end a process at the signal that a file size limit gives, which Node.js itself ignores.
 */
function start (path: string, bytes: number, commits: number, limit = ''): Child {
  const args = [CHILD, path, String(bytes), String(commits)]
  const command = `unset NODE_OPTIONS; ${limit} exec "$0" "$@"`
  return spawn('/bin/sh', ['-c', command, process.execPath, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
}

/** Reads the child's lines to the end; `seen` is told of each with its number. */
async function follow (child: Child, seen: (count: number) => void): Promise<string[]> {
  const lines: string[] = []
  for await (const line of createInterface(child.stdout)) {
    lines.push(line)
    seen(lines.length)
  }
  return lines
}

/** Opens the store and checks that each room holds its nodes in order, up to what was acknowledged at least. */
async function verify (t: Test, store: NodeStore, lines: readonly string[]): Promise<Record<string, number>> {
  const ends: Record<string, number> = {}
  await store.open()
  for (const room of ['a', 'b']) {
    const acknowledged = lines.filter((line) => line.startsWith(`${room} `)).map((line) => Number(line.slice(2)))
    const end = await store.version(room)
    ends[room] = end
    t.ok(end >= Math.max(0, ...acknowledged), `room ${room} ends at ${end}, acknowledged ${acknowledged.at(-1) ?? 'nothing'}`)
    sameNodes(await loadAll(store, room), sampleNodes(1, end, Number(lines[0])))
  }
  await store.close()
  return ends
}

/** Park and Miller's generator: the same instants for the same seed. */
function random (seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = state * 48_271 % 2_147_483_647
    return state % below
  }
}

t.test('NS-40 what was acknowledged survives kill -9 at any instant, and the store opens', async (t) => {
  const seed = Number(process.env.SEED ?? 20_240_607)
  const next = random(seed)
  t.comment(`SEED=${seed}`)
  const path = t.testdir()
  for (let round = 0; round < 10; round++) {
    const bytes = 30
    const child = start(path, bytes, 1e6)
    const after = 1 + next(400)
    const lines = await follow(child, (count) => { if (count === after) child.kill('SIGKILL') })
    t.ok(lines.length >= after, `round ${round}: killed after ${after} lines`)
    await verify(t, levelNodes({ path }), [String(bytes), ...lines])
  }
})

t.test('NS-41 a full disk fails commits and loses none that was acknowledged', async (t) => {
  const path = t.testdir()
  const child = start(path, 60_000, 60, 'ulimit -f 5900;')
  const ended = once(child, 'exit')
  const lines = await follow(child, () => {})
  t.strictSame(await ended, [0, null], 'the process goes on to its end')
  const failures = lines.filter((line) => line === 'failed').length
  t.ok(failures >= 2, `${failures} commits failed`)
  t.ok(lines.lastIndexOf('failed') < lines.length - 1, 'and others came after the last of them')
  await verify(t, levelNodes({ path }), ['60000', ...lines])
})

t.test('NS-42 a folder that another process holds is refused', async (t) => {
  const path = t.testdir()
  const child = start(path, 30, 1e6)
  const store = levelNodes({ path })
  let refused: Promise<unknown> = Promise.resolve()
  await follow(child, (count) => {
    if (count === 1) refused = store.open().catch((cause: unknown) => cause).finally(() => child.kill('SIGKILL'))
  })
  t.match(await refused, { name: 'NodalmergeError', code: 'store.locked' })
  await store.open()
  await store.close()
})
