import t from 'tap'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { REASONS } from '../lib/errors.js'
import { Options } from '../lib/options.js'
import { limitsSchema } from '../lib/room/limits.js'

const ROOT = resolve(import.meta.dirname, '..')
const run = promisify(execFile)
const readme = await readFile(join(ROOT, 'README.md'), 'utf8')
const examples = [...readme.matchAll(/```js\n([\s\S]*?)```/g)].map(([, code]) => code)

/** Examples run as a user's code does: against the built package, without the test runner's own preloads. */
const env = { ...process.env, NODE_OPTIONS: '', NODE_V8_COVERAGE: '', TAP: '' }

/** The rows of a marked table, cell by cell, without its head. */
function table (name: string): string[][] {
  const [, text] = readme.split(`<!-- table: ${name} -->\n`)
  const rows = text.split('\n\n')[0].trim().split('\n').slice(2)
  return rows.map((row) => row.slice(2, -2).split(' | '))
}

const code = (cell: string): string => cell.replaceAll('`', '')

t.test('RE-1 the tables of options, errors and limits are those of the code', async (t) => {
  t.same(table('options').map(([name]) => code(name)).sort(), Object.keys(Options.shape).sort())
  t.same(table('errors').map(([name, text, status, close, retry]) => [code(name), text, status, close, retry]),
    Object.entries(REASONS).map(([name, reason]) => [name, reason.message, String(reason.status), reason.close === null ? '–' : String(reason.close), reason.retry ? 'yes' : 'no']))
  const source = await readFile(join(ROOT, 'lib/room/limits.ts'), 'utf8')
  const defaults: Record<string, number> = limitsSchema.parse({})
  const documented = [...source.matchAll(/\/\*\* (.*) \*\/\n {2}(\w+): /g)].map(([, text, name]) => [name, defaults[name].toLocaleString('en-US'), text])
  t.same(table('limits').map(([name, value, text]) => [code(name), value, text]), documented)
  t.same(table('limits').map(([name]) => code(name)).sort(), Object.keys(defaults).sort())
})

async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

t.test('RE-2 the minimal server is the one of the README; a scripted peer writes through it and the server reads what was written', async (t) => {
  t.equal(examples[0], await readFile(join(ROOT, 'examples/minimal/server.js'), 'utf8'))
  const port = await freePort()
  const data = t.testdir()
  const server = spawn(process.execPath, ['examples/minimal/server.js'], { cwd: ROOT, env: { ...env, PORT: String(port), DATA: data } })
  t.teardown(() => server.kill('SIGKILL'))
  for await (const line of server.stdout) if (String(line).includes('Server listening')) break
  const { stdout } = await run(process.execPath, ['examples/minimal/peer.js'], { cwd: ROOT, env: { ...env, URL: `ws://127.0.0.1:${port}` } })
  t.match(stdout, /^1 node\(s\) in the room/)
  const answer = await fetch(`http://127.0.0.1:${port}/rooms/plans/title`)
  t.same(await answer.json(), { title: 'Hello from a peer' })
})

/** What the fragments of the README take for granted. */
const AROUND: Record<number, { before: string, after: string }> = {
  1: {
    before: `import Fastify from 'fastify'; import nodalmerge from 'nodalmerge'; import { connectPeer, createPeer, loadBlake3 } from 'nodalmerge/testing'
const app = Fastify(); const userOf = async (cookie) => cookie === 'good' ? { id: 'u', admin: true, sessionEnds: new Date(Date.now() + 1e6) } : null\n`,
    after: `await app.ready()
const peer = createPeer({ blake3: await loadBlake3() })
const good = connectPeer({ peer, room: 'x', open: () => app.injectWS('/ws/x', { headers: { cookie: 'good' } }) })
await good.synced()
good.write([{ type: 'map-set', key: 'admin/x', value: new Uint8Array(1) }])
await good.until(() => good.refused.size === 1)
const bad = connectPeer({ peer: createPeer({ blake3: await loadBlake3() }), room: 'x', open: () => app.injectWS('/ws/x') })
const { code } = await bad.closed()
console.log('seen', good.refused.values().next().value, code)
await app.close()`
  },
  2: {
    before: `import Fastify from 'fastify'; import nodalmerge, { createSigner } from 'nodalmerge'
const app = Fastify(); await app.register(nodalmerge); await app.ready()
const roomPublicKey = createSigner(new Uint8Array(32).fill(1)).publicKey; const alicePublicKey = createSigner(new Uint8Array(32).fill(2)).publicKey\n`,
    after: "console.log('seen', (await room.rights()).key !== null, (await room.rights()).timeline.length)\nawait app.close()"
  }
}

t.test('RE-3 every example of the README runs', async (t) => {
  t.equal(examples.length, 5)
  const folder = join(ROOT, '.tap', 'readme')
  await mkdir(folder, { recursive: true })
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const outputs: string[] = []
  for (const [i, example] of examples.entries()) {
    if (i === 0) continue
    const file = join(folder, `example-${i}.mjs`)
    const { before, after } = AROUND[i] ?? { before: '', after: '' }
    await writeFile(file, before + example + after)
    const { stdout } = await run(process.execPath, i === 3 ? ['--test', file] : [file], { cwd: ROOT, env })
    outputs.push(stdout)
  }
  t.match(outputs[0], /seen reject\.path_scope_forbidden 1008/)
  t.match(outputs[1], /seen true 2/)
  t.match(outputs[2], /# fail 0/)
  t.match(outputs[2], /# pass [1-9]\d/)
  t.equal(outputs[3].trim(), '1')
})
