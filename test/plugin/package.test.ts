import t from 'tap'
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

const exec = promisify(execFile)
const ROOT = resolve(import.meta.dirname, '../..')
const { NODE_OPTIONS: _, ...env } = process.env

/** Starts the plugin on a folder, writes through the workers, reads back, and tells what it found. */
const BODY = `
  const app = Fastify()
  await app.register(nodalmerge, { data: process.argv[2] })
  const room = app.nodalmerge.room('plans')
  await Promise.all(Array.from({ length: 100 }, (_, i) => room.append([{ type: 'map-set', key: 'k' + i, value: new Uint8Array(1) }])))
  const { nodes } = await room.open()
  const { statusCode } = await app.inject('/ws/plans')
  await app.close()
  console.log(JSON.stringify({ nodes, statusCode }))`

t.test('FP-70 the packed build, installed beside fastify in an empty folder, runs from CommonJS and from ES modules', { timeout: 240_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'nodalmerge-pack-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const [source, home] = [join(folder, 'source'), join(folder, 'home')]
  await mkdir(source)
  await mkdir(home)
  for (const name of ['package.json', 'LICENSE', 'README.md', 'tsconfig.json', 'tsconfig.build.json', 'lib']) {
    if (existsSync(join(ROOT, name))) await cp(join(ROOT, name), join(source, name), { recursive: true })
  }
  await symlink(join(ROOT, 'node_modules'), join(source, 'node_modules'))
  const npm = (cwd: string, ...args: string[]) => exec('npm', args, { cwd, env, timeout: 200_000 })
  await npm(source, 'run', 'build')
  const { stdout } = await npm(source, 'pack', '--json', '--pack-destination', folder)
  const [{ filename, files }] = JSON.parse(stdout) as Array<{ filename: string, files: Array<{ path: string }> }>
  t.same(files.map(({ path }) => path.split('/')[0]).filter((name, i, all) => all.indexOf(name) === i && name !== 'README.md').sort(), ['LICENSE', 'dist', 'package.json'], 'nothing but the build travels')

  await writeFile(join(home, 'package.json'), '{ "private": true }')
  const { devDependencies } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { devDependencies: { fastify: string } }
  await npm(home, 'install', '--prefer-offline', '--no-audit', '--no-fund', join(folder, filename), `fastify@${devDependencies.fastify}`)
  t.notOk((await readdir(join(home, 'node_modules'))).includes('typescript'), 'what only development needs is not installed')

  await writeFile(join(home, 'common.cjs'), `const Fastify = require('fastify')\nconst nodalmerge = require('nodalmerge')\nvoid (async () => {${BODY}\n})()`)
  await writeFile(join(home, 'module.mjs'), `import Fastify from 'fastify'\nimport nodalmerge from 'nodalmerge'\n${BODY}`)
  await writeFile(join(home, 'parts.mjs'), `
    const names = Object.keys(JSON.parse((await import('node:fs')).readFileSync('node_modules/nodalmerge/package.json')).exports)
    for (const name of names.filter((name) => !name.endsWith('.json'))) if (Object.keys(await import('nodalmerge' + name.slice(1))).length === 0) throw new Error(name)
    console.log(names.length)`)
  const node = (...args: string[]) => exec(process.execPath, args, { cwd: home, env, timeout: 30_000 })
  const common = await node('common.cjs', join(home, 'data'))
  t.same([JSON.parse(common.stdout), common.stderr], [{ nodes: 100, statusCode: 426 }, ''])
  const module = await node('module.mjs', join(home, 'data'))
  t.same([JSON.parse(module.stdout), module.stderr], [{ nodes: 200, statusCode: 426 }, ''], 'the second run finds what the first one wrote')
  t.ok(Number((await node('parts.mjs')).stdout) > 1, 'every entry point can be imported')
})
