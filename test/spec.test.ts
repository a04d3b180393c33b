import t from 'tap'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'

const RULE = /\b[A-Z]{2}-\d+\b/

async function titles (): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>()
  const files = (await readdir(import.meta.dirname, { recursive: true })).filter((name) => name.endsWith('.test.ts'))
  for (const file of files) {
    const text = await readFile(join(import.meta.dirname, file), 'utf8')
    for (const [, title] of text.matchAll(/\bt\.test\(\s*['"`]([^'"`]*)/g)) {
      for (const rule of title.match(/^(?:[A-Z]{2}-\d+[, ]+)+/)?.[0].match(new RegExp(RULE, 'g')) ?? ['none']) {
        found.set(rule, [...found.get(rule) ?? [], `${file}: ${title}`])
      }
    }
  }
  return found
}

t.test('LY-4 every rule has a test and every test has a rule', async (t) => {
  const spec = await readFile(join(import.meta.dirname, 'SPEC.md'), 'utf8')
  const rules = [...spec.matchAll(/^- \*\*([A-Z]{2}-\d+)\*\*/gm)].map(([, rule]) => rule)
  t.equal(new Set(rules).size, rules.length, 'no rule is numbered twice')
  const tested = await titles()
  t.same(rules.filter((rule) => !tested.has(rule)), [], 'rules without a test')
  t.same([...tested.keys()].filter((rule) => rule !== 'none' && !rules.includes(rule)), [], 'tests of rules that are not written down')
})
