import { createHash, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'

const PAGE = join(import.meta.dirname, 'page')
const TYPES = { '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.webmanifest': 'application/manifest+json', '.map': 'application/json' }
const typeOf = (path) => TYPES[/\.\w+$/.exec(path)[0]]

/**
 * Bundles the page into memory. Files are named by their content, so that a browser may keep them for ever; the service worker is
 * told all of them, so that the page opens without a network.
 */
export async function bundlePage (options = {}) {
  const built = await build({
    entryPoints: [join(PAGE, 'main.ts'), join(PAGE, 'page.css')],
    bundle: true,
    splitting: true,
    minify: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    outdir: '/assets',
    outbase: PAGE,
    entryNames: '[name]-[hash]',
    chunkNames: '[name]-[hash]',
    ...options
  })
  const files = new Map()
  const names = {}
  for (const { path, contents } of built.outputFiles) files.set(path, { type: typeOf(path), body: Buffer.from(contents), forever: true })
  for (const path of files.keys()) {
    const [, name] = /\/(main|page)-[^/]*\.(?:js|css)$/.exec(path) ?? []
    if (name) names[name === 'main' ? 'main.js' : 'page.css'] = path
  }
  for (const name of ['icon.svg', 'manifest.webmanifest']) files.set(`/${name}`, { type: typeOf(name), body: await readFile(join(PAGE, name)) })
  const html = (await readFile(join(PAGE, 'index.html'), 'utf8')).replace(/\{\{([a-z.]+)\}\}/g, (whole, name) => names[name] ?? whole)
  files.set('/sw.js', { type: typeOf('sw.js'), body: await serviceWorker(['/', ...files.keys()], html, files) })
  return { files, page: () => pageWithPolicy(html) }
}

async function serviceWorker (paths, html, files) {
  const version = createHash('sha256').update(html)
  for (const { body } of files.values()) version.update(body)
  const { outputFiles: [{ contents }] } = await build({
    entryPoints: [join(import.meta.dirname, 'worker', 'sw.ts')],
    bundle: true,
    minify: true,
    write: false,
    format: 'iife',
    target: 'es2022',
    define: { VERSION: JSON.stringify(version.digest('hex').slice(0, 16)), FILES: JSON.stringify(paths) }
  })
  return Buffer.from(contents)
}

/** The page and its Content-Security-Policy: own scripts and WebAssembly; CodeMirror's style elements carry the nonce. */
function pageWithPolicy (html) {
  const nonce = randomBytes(16).toString('base64')
  const policy = [
    "default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", `style-src 'self' 'nonce-${nonce}'`, "img-src 'self' blob:", "connect-src 'self'",
    "manifest-src 'self'", "worker-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"
  ]
  return { body: html.replace('{{nonce}}', nonce), policy: policy.join('; ') }
}
