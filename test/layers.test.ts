import t from 'tap'
import { readFile, readdir } from 'node:fs/promises'
import { dirname, join, posix, relative, resolve } from 'node:path'

const LIB = resolve(import.meta.dirname, '../lib')

/** What each folder may import besides itself, `errors.ts` and `clock.ts`. Files directly in lib/ wire everything and may import all. */
const BELOW: Record<string, string[]> = {
  protocol: [],
  dag: ['protocol'],
  state: ['dag', 'protocol'],
  crypto: ['protocol'],
  store: ['protocol'],
  client: ['state', 'dag', 'protocol'],
  room: ['state', 'dag', 'protocol', 'crypto', 'store/node-store', 'store/blob-store'],
  http: ['room', 'state', 'dag', 'protocol', 'store/node-store', 'store/blob-store'],
  testing: ['state', 'dag', 'protocol', 'crypto', 'store/node-store', 'store/blob-store']
}
/** What every folder may import. */
const GROUND = ['errors', 'clock']
const PURE = ['protocol', 'dag', 'state']

async function sources (): Promise<Array<{ file: string, imports: string[] }>> {
  const files = (await readdir(LIB, { recursive: true })).filter((name) => name.endsWith('.ts'))
  return Promise.all(files.map(async (file) => {
    const text = await readFile(join(LIB, file), 'utf8')
    return { file, imports: [...text.matchAll(/^(?:import|export|\}).*\bfrom '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm)].map(([, ...names]) => names.find(Boolean) ?? '') }
  }))
}

function target (file: string, specifier: string): string {
  return relative(LIB, resolve(LIB, dirname(file), specifier)).split('\\').join('/').replace(/\.js$/, '')
}

t.test('LY-1 imports go downward only', async (t) => {
  const upward: string[] = []
  for (const { file, imports } of await sources()) {
    const folder = posix.dirname(file)
    if (folder === '.') continue
    const allowed = BELOW[folder] ?? []
    for (const to of imports.filter((name) => name.startsWith('.')).map((name) => target(file, name))) {
      const fine = GROUND.includes(to) || posix.dirname(to) === folder || allowed.some((name) => to === name || posix.dirname(to) === name)
      if (!fine) upward.push(`${file} imports ${to}`)
    }
  }
  t.same(upward, [])
})

t.test('LY-2 protocol, dag and state run in a browser', async (t) => {
  const pure = (await sources()).filter(({ file }) => PURE.includes(posix.dirname(file)))
  const foreign = pure.flatMap(({ imports }) => imports.filter((name) => !name.startsWith('.') && !/^(@noble\/|hash-wasm$|zod$|valibot$)/.test(name)))
  t.same(foreign, [])
  t.ok(pure.length > 20)
})

t.test('LY-3 files stay small and say what they hold', async (t) => {
  const lengths: number[] = []
  for (const { file } of await sources()) {
    const lines = (await readFile(join(LIB, file), 'utf8')).split('\n').length - 1
    lengths.push(lines)
    if (lines > 450) t.fail(`${file} has ${lines} lines`)
    if (/(^|\/)(utils?|helpers?|common|misc|manager|service)\.ts$|Impl\.ts$/.test(file)) t.fail(`${file} says nothing`)
  }
  lengths.sort((a, b) => a - b)
  t.ok(lengths[lengths.length >> 1] <= 120, `the median file has ${lengths[lengths.length >> 1]} lines`)
})
