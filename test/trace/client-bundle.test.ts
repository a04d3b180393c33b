import t from 'tap'
import { gzipSync } from 'node:zlib'
import { fileURLToPath } from 'node:url'
import { type Metafile, buildSync } from 'esbuild'
import { nobleBlake3 } from '../../lib/protocol/blake3.js'
import { plainBlake3 } from '../../lib/protocol/blake3-plain.js'
import { loadBlake3 } from '../../lib/protocol/blake3-wasm.js'
import { toHex } from '../../lib/protocol/hex.js'

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
    metafile: true,
    logLevel: 'silent'
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

t.test('CT-22 the hash of the first bundle is BLAKE3, for every length and under a key', async (t) => {
  const data = Uint8Array.from({ length: 20_000 }, (_, i) => i * 7 + (i >> 8))
  const key = data.slice(5, 37)
  const fast = await loadBlake3([key])
  const wrong: number[] = []
  const lengths = [...Array(1_200).keys(), 2_047, 2_048, 2_049, 3_072, 3_073, 4_096, 5_000, 7_169, 8_192, 16_384, 16_385, 19_999]
  for (const length of lengths) {
    const part = data.subarray(1, 1 + length)
    const [own, wasm, noble] = [plainBlake3, fast, nobleBlake3].map((blake3) => toHex(blake3.hash(part)) + toHex(blake3.keyed(key)(part)))
    if (own !== wasm || own !== noble) wrong.push(length)
  }
  t.same(wrong, [])
  t.equal(toHex(plainBlake3.hash(new Uint8Array())), 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262', 'the published hash of nothing')
  t.throws(() => plainBlake3.keyed(new Uint8Array(31)), RangeError)
})
