import t from 'tap'
import { createBench } from './bench.js'
import type { EngineCommands } from './engine.js'
import { launch } from './process.js'
import { type Row, rowOf, table, timesAtMost } from './sample.js'
import { SCENARIOS } from './scenarios.js'

t.test('BN-1 every scenario runs and reports', async (t) => {
  const bench = createBench({ tiny: true, progress: () => {} })
  t.teardown(bench.close)
  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    const start = performance.now()
    await bench.during(name, scenario)
    t.comment(`${name}: ${Math.round(performance.now() - start)} ms`)
    const rows = bench.rows.filter((row) => row.scenario === name)
    t.ok(rows.length > 0, `${name} reports`)
    for (const { what, ours, plain } of rows) {
      const figures = [ours, ...(plain === null ? [] : [plain])].flatMap(({ median, min, max }) => [median, min, max])
      t.ok(figures.every(Number.isFinite), `${name}: ${what}`)
    }
  }
  const text = table(bench.rows)
  t.same(bench.rows.filter(({ what }) => !text.includes(what)), [], 'the table has every row')
})

t.test('BN-2 a process of the bench answers, reports its failures and ends', async (t) => {
  const engine = launch<EngineCommands>('engine')
  t.teardown(engine.end)
  const { edits, seconds } = await engine.ask('replay', { trace: 'sequential', most: 20, runs: 2, settle: 'end' })
  t.equal(edits, 20)
  t.equal(seconds.length, 2)
  await t.rejects(engine.ask('replay', null as never), /engine: .*(null|undefined)/)
  await engine.end()
  await t.rejects(engine.ask('traces'), /has ended/)
})

t.test('BN-3 figures are medians with their spread, measured against the rival of the same run', async (t) => {
  const row: Row = rowOf('scenario', 'what', 'ms', { ours: [3, 1, 2], plain: [2, 4, 2], aim: timesAtMost(1.3) })
  t.same(row.ours, { median: 2, min: 1, max: 3, runs: 3 })
  t.same(row.target, { text: '<= 1.3 x plain', met: true })
  t.match(table([row]), /what +ms +2 \(1-3\) +2 \(2-4\) +1 x +<= 1\.3 x plain: met/)
})
