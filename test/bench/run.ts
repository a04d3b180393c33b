import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { createBench } from './bench.js'
import { describeMachine } from './machine.js'
import { table } from './sample.js'
import { SCENARIOS } from './scenarios.js'

/** `npm run bench -- [scenario ...] [--tiny] [--json file] [--profile folder]`. */
const { values, positionals } = parseArgs({ allowPositionals: true, options: { tiny: { type: 'boolean', default: false }, json: { type: 'string' }, profile: { type: 'string' } } })
const names = positionals.length === 0 ? Object.keys(SCENARIOS) : positionals
const unknown = names.filter((name) => !(name in SCENARIOS))
if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(', ')}; there are: ${Object.keys(SCENARIOS).join(', ')}`)
  process.exit(2)
}

const machine = describeMachine()
console.log(Object.entries(machine).map(([name, value]) => `${name}: ${value}`).join('\n'))
const bench = createBench({ tiny: values.tiny, profiles: values.profile, progress: ({ scenario, what }) => { console.error(`${scenario}: ${what}`) } })
try {
  for (const name of names) {
    const start = performance.now()
    await bench.during(name, SCENARIOS[name])
    console.error(`${name}: ${((performance.now() - start) / 1000).toFixed(1)} s`)
  }
} catch (error) {
  console.error(error)
  process.exitCode = 1
} finally {
  await bench.close()
}
console.log(table(bench.rows))
if (values.json !== undefined) await writeFile(values.json, JSON.stringify({ machine, rows: bench.rows }, null, 2) + '\n')
