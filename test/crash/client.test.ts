import t from 'tap'
import { setTimeout } from 'node:timers/promises'
import { createDoc } from '../../lib/client/index.js'
import { seeded } from '../plugin/host.js'
import { type Running, build, run } from './built.js'

const ROUNDS = Number(process.env.CRASH_ROUNDS ?? 15)
const WAYS = ['plain', 'mute', 'deaf'] as const

const duplicates = (numbers: readonly number[]): number[] => numbers.filter((number, i) => numbers.indexOf(number) !== i)

t.test('DO-30 clients and servers are killed at any instant, before sending and before acknowledging: what was saved is there once', { timeout: 240_000 }, async (t) => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
  t.comment(`SEED=${seed} CRASH_ROUNDS=${ROUNDS}`)
  const random = seeded(seed)
  const folder = t.testdir({ client: {}, server: {}, data: {}, storage: {} })
  const client = build(`${folder}/client`, 'test/crash/client-child.ts')
  const server = build(`${folder}/server`, 'test/crash/server.ts')
  const saved = new Set<number>()
  const note = ({ lines }: Running): void => { for (const line of lines.slice(1)) if (/^\d+$/.test(line)) saved.add(Number(line)) }
  const start = (how: string): Promise<Running> => run(t, client, [String(host.ready.url), `${folder}/storage`, how])
  let host = await run(t, server, [`${folder}/data`])
  for (let round = 0; round < ROUNDS; round++) {
    const child = await start(WAYS[round % WAYS.length])
    await setTimeout(random(250))
    if (random(3) === 0) {
      await host.end('SIGKILL')
      await setTimeout(random(50))
      await child.end('SIGKILL')
      host = await run(t, server, [`${folder}/data`])
    } else {
      await child.end('SIGKILL')
    }
    note(child)
  }
  const last = await start('last')
  await last.line((line) => line === 'done')
  t.match(last.ready, { status: { storage: 'ok' } })
  const fresh = await createDoc({ url: String(host.ready.url), room: 'kill' })
  t.teardown(() => fresh.close())
  await fresh.whenSynced({ timeout: 20_000 })
  const inMap = Object.entries(fresh.map<Record<string, number>>('map').all()).map(([key, value]) => {
    if (key !== `k${value}`) t.fail(`${key} holds ${value}`)
    return Number(value)
  })
  const written = fresh.text('text').toString()
  const inText = written.split(';').slice(0, -1).map(Number)
  const inList = fresh.list<number>('list').toArray().map(({ content }) => Number(content))
  for (const [where, numbers] of Object.entries({ map: inMap, text: inText, list: inList })) {
    t.same([...saved].filter((number) => !numbers.includes(number)), [], `nothing that was saved is missing in the ${where}`)
    t.same(duplicates(numbers), [], `nothing is twice in the ${where}`)
    t.ok(numbers.length <= saved.size + ROUNDS, `nothing else is in the ${where}`)
  }
  t.equal(written, inText.map((number) => `${number};`).join(''))
  t.same(inText, inText.toSorted((a, b) => a - b))
  t.same(inList, inList.toSorted((a, b) => a - b))
  t.ok(saved.size > ROUNDS, `${saved.size} numbers were saved`)
  t.comment(`${saved.size} numbers saved in ${ROUNDS} rounds`)
})
