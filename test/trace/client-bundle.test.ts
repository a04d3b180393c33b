import t from 'tap'
import { gzipSync } from 'node:zlib'
import { fileURLToPath } from 'node:url'
import { type Metafile, buildSync } from 'esbuild'

const LIBRARY = fileURLToPath(new URL('../../lib', import.meta.url))
/** What a page loads before its first line runs, compressed. */
const MOST_BYTES = 60_000

interface Bundle {
  /** Compressed bytes of the entry and of all it imports statically. */
  first: number
  /** Every chunk by its name. */
  chunks: ReadonlyMap<string, string>
  outputs: Metafile['outputs']
}

function bundle (contents: string): Bundle {
  const { outputFiles, metafile } = buildSync({
    stdin: { contents, resolveDir: LIBRARY, sourcefile: 'entry.ts', loader: 'ts' },
    absWorkingDir: LIBRARY,
    bundle: true,
    splitting: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2023',
    outdir: 'out',
    write: false,
    metafile: true
  })
  const { outputs } = metafile
  const chunks = new Map(outputFiles.map(({ path, text }) => [path.slice(LIBRARY.length + 1), text]))
  const [entry] = Object.keys(outputs).filter((name) => outputs[name].entryPoint !== undefined)
  const loaded = new Set([entry])
  for (const name of loaded) for (const { path, kind } of outputs[name].imports) if (kind === 'import-statement') loaded.add(path)
  const first = [...loaded].reduce((sum, name) => sum + gzipSync(chunks.get(name) ?? '', { level: 9 }).length, 0)
  return { first, chunks, outputs }
}

t.test('CT-20 what a page loads for a document stays below 60,000 bytes, and none of it needs Node.js', async (t) => {
  const { first, chunks, outputs } = bundle("export { createDoc } from './client/index.js'")
  t.comment(`${first} bytes at first, ${[...chunks.values()].reduce((sum, text) => sum + gzipSync(text).length, 0)} in all ${chunks.size} chunks`)
  t.ok(first > 10_000 && first < MOST_BYTES, `${first} bytes`)
  for (const [name, { imports }] of Object.entries(outputs)) t.same(imports.filter(({ external }) => external === true), [], `${name} stands by itself`)
  for (const [name, text] of chunks) t.notMatch(text, /["'`]node:/, name)
})

t.test('CT-21 who takes a part of the client loads that part only', async (t) => {
  const whole = bundle("export { createDoc } from './client/index.js'").first
  for (const contents of [
    "export { memoryStorage } from './client/index.js'",
    "export { NodalmergeError } from './client/index.js'",
    "export { browserStorage } from './client/storage-browser.js'"
  ]) {
    const { first } = bundle(contents)
    t.ok(first < whole / 3, `${contents}: ${first} of ${whole} bytes`)
  }
  t.ok(bundle("import './client/index.js'").first < 200, 'nothing happens on import')
})
