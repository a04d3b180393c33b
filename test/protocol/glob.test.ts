import t from 'tap'
import fc from 'fast-check'
import { policyGlob, policyGlobBytes, subscriptionGlob, subscriptionGlobBytes } from '../../lib/protocol/glob.js'
import { growth } from './growth.js'
import { controlPlane, published, utf8 } from './vectors.js'

interface Case { pattern: string, text: string, match: boolean }

const escaped = (char: string) => char.replace(/[\\^$.*+?()[\]{}|/]/u, '\\$&')

/** The two grammars once more, as regular expressions. */
function reference (pattern: string, folders: string, swallow: boolean, tail: boolean): RegExp {
  let out = ''
  for (let i = 0; i < pattern.length;) {
    const rest = pattern.slice(i)
    if (tail && rest === '/**') { out += '(?:\\/.*)?'; i += 3 } else if (rest.startsWith('**/') && swallow) { out += folders; i += 3 } else if (rest.startsWith('**')) { out += '.*'; i += 2 } else if (rest[0] === '*') { out += '[^/]*'; i++ } else {
      const [char] = rest
      out += escaped(char)
      i += char.length
    }
  }
  return new RegExp(`^${out}$`, 'su')
}

const policyReference = (pattern: string) => reference(pattern, '.*', true, false)
const subscriptionReference = (pattern: string) => reference(pattern, '(?:.*\\/)?', true, true)

t.test('GL-1 policy globs: the vectors', async (t) => {
  const cases: Case[] = [...published.reference.policy_glob, ...published.derived.policy_glob_edge_cases]
  for (const { pattern, text, match } of cases) t.equal(policyGlob(pattern)(text), match, `${pattern} ${text}`)
  for (const { pattern, path, policy } of controlPlane.policy_glob.cases) t.equal(policyGlob(pattern)(path), policy, `${pattern} ${path}`)
})

t.test('GL-2 subscription globs: the vectors', async (t) => {
  const cases: Case[] = published.reference.subscription_glob
  for (const { pattern, text, match } of cases) t.equal(subscriptionGlob(pattern)(text), match, `${pattern} ${text}`)
  for (const { pattern, path, subscription } of controlPlane.policy_glob.cases) {
    t.equal(subscriptionGlob(pattern)(path), subscription, `${pattern} ${path}`)
  }
})

const patterns = (maxLength: number) => fc.string({ unit: fc.constantFrom('a', 'b', '/', '*', '**', '**/', '/**', '/**/', 'é', '.'), maxLength })
const keys = (maxLength: number) => fc.string({ unit: fc.constantFrom('a', 'b', '/', 'é', '.', '\n', '*'), maxLength })

function agree (pattern: string, key: string): boolean {
  return policyGlob(pattern)(key) === policyReference(pattern).test(key) &&
    subscriptionGlob(pattern)(key) === subscriptionReference(pattern).test(key)
}

t.test('GL-3 both agree with their grammar on any pattern and key', async (t) => {
  fc.assert(fc.property(patterns(8), keys(10), agree), { numRuns: 20000 })
})

t.test('GL-3 patterns of more than 31 bytes are matched like short ones', async (t) => {
  const literal = fc.string({ unit: fc.constantFrom('a', 'b', '/', 'é'), minLength: 20, maxLength: 70 })
  fc.assert(fc.property(literal, patterns(3), literal, patterns(2), keys(6), (head, middle, tail, end, fill) =>
    [head + fill + tail, head + tail, head + '/' + fill + '/' + tail + '/' + fill, head].every((key) => agree(head + middle + tail + end, key))), { numRuns: 3000 })
  for (const glob of [policyGlob, subscriptionGlob]) {
    t.ok(glob('x'.repeat(31) + '**/' + 'y'.repeat(40))('x'.repeat(31) + 'a/' + 'y'.repeat(40)))
    t.ok(glob('x'.repeat(31) + '**/y')('x'.repeat(31) + 'y'))
    t.notOk(glob('x'.repeat(40))('x'.repeat(39)))
    t.notOk(glob('x'.repeat(40))('y'))
  }
})

t.test('GL-4 keys are matched where they lie, byte by byte', async (t) => {
  const bytes = utf8('éworld/a/béworld')
  const start = 2
  const end = 2 + 'world/a/b'.length
  for (const compiled of [policyGlobBytes, subscriptionGlobBytes]) {
    t.ok(compiled('world/**')(bytes, start, end))
    t.ok(compiled('world/a/b')(bytes, start, end))
    t.notOk(compiled('world/a')(bytes, start, end))
    t.notOk(compiled('*')(bytes, start, end))
    t.ok(compiled('w*')(bytes, start, start + 5))
    const once = compiled('world/**')
    t.same([once(bytes, start, end), once(bytes, 0, 4), once(bytes, start, end)], [true, false, true], 'a matcher keeps nothing')
  }
})

t.test('GL-5 no pattern makes matching slow', async (t) => {
  const hostile = ['*a'.repeat(200), '**a'.repeat(150), '**/a'.repeat(100), '/**/a'.repeat(100), '*'.repeat(500) + 'b', '**/*'.repeat(120) + 'b', 'a*/'.repeat(150)]
  for (const pattern of hostile) {
    for (const matches of [policyGlobBytes(pattern), subscriptionGlobBytes(pattern)]) {
      const keys = new Map([20000, 160000].map((length) => [length, utf8((pattern.includes('**') ? 'a/' : 'aa').repeat(length / 2))]))
      const factor = growth((length) => { matches(keys.get(length) ?? utf8(''), 0, length) }, 20000)
      t.ok(factor < 40, `${pattern.slice(0, 8)}: eight times the key, ${factor.toFixed(1)} times the time`)
    }
  }
  const key = utf8('a'.repeat(10000))
  const factor = growth((stars) => { policyGlobBytes('*a'.repeat(stars))(key, 0, key.length) }, 64)
  t.ok(factor < 40, `eight times the pattern, ${factor.toFixed(1)} times the time`)
})
