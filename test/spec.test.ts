import t from 'tap'
import { readFile, readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'

/** Where titles are written: the tests, and the suites that the package publishes. */
const PLACES = [import.meta.dirname, resolve(import.meta.dirname, '../lib/testing')]

async function rulesTested (): Promise<Set<string>> {
  const found = new Set<string>()
  for (const place of PLACES) {
    const files = (await readdir(place, { recursive: true })).filter((name) => place === PLACES[1] ? name.endsWith('.ts') : /(\.test|-suite)\.ts$/.test(name))
    for (const file of files) {
      const text = await readFile(join(place, file), 'utf8')
      for (const [, rules] of text.matchAll(/['"`]((?:[A-Z]{2}-\d+,? (?:and )?)+)/g)) for (const [rule] of rules.matchAll(/[A-Z]{2}-\d+/g)) found.add(rule)
    }
  }
  return found
}

t.test('LY-4 every rule has a test and every test has a rule', async (t) => {
  const spec = await readFile(join(import.meta.dirname, 'SPEC.md'), 'utf8')
  const rules = [...spec.matchAll(/^- \*\*([A-Z]{2}-\d+)\*\*/gm)].map(([, rule]) => rule)
  t.equal(new Set(rules).size, rules.length, 'no rule is numbered twice')
  const tested = await rulesTested()
  t.same(rules.filter((rule) => !tested.has(rule)), [], 'rules without a test')
  t.same([...tested].filter((rule) => !rules.includes(rule)), [], 'tests of rules that are not written down')
})
