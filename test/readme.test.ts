import t from 'tap'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { createDoc } from '../lib/client/doc.js'
import { REASONS } from '../lib/errors.js'
import { Options } from '../lib/options.js'
import { limitsSchema } from '../lib/room/limits.js'

const ROOT = resolve(import.meta.dirname, '..')
const run = promisify(execFile)
const readme = await readFile(join(ROOT, 'README.md'), 'utf8')
/** The examples by name: every block of JavaScript has one. */
const examples = new Map([...readme.matchAll(/(?:<!-- example: (\w+) -->\n)?```js\n([\s\S]*?)```/g)].map(([, name, code]) => [name, code]))
const typed = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code)

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

/** Names in code type, of every cell of a column. */
const names = (rows: string[][], column = 0): string[] => rows.flatMap((row) => [...row[column].matchAll(/`([\w-]+)[^`]*`/g)].map(([, name]) => name))

t.test('RE-4 the tables of the client and of messages are those of the code', async (t) => {
  const options = await readFile(join(ROOT, 'lib/client/options.ts'), 'utf8')
  const [body] = options.split('export interface DocOptions {')[1].split('\n}\n')
  t.same(names(table('client options')).sort(), [...body.matchAll(/^ {2}(\w+)\??: /gm)].map(([, name]) => name).sort())
  const doc = await createDoc({ url: 'http://127.0.0.1:1', room: 'r', connect: false })
  t.same(names(table('client members')).sort(), Object.keys(doc).sort())
  await doc.close()
  const types = async (file: string): Promise<string[]> => {
    const source = await readFile(join(ROOT, 'lib/protocol', file), 'utf8')
    const [schemas] = source.split('const SCHEMAS = {')[1].split('\n}\n')
    return [...schemas.matchAll(/^ {2}'?([\w-]+)'?[:,]/gm), ...schemas.matchAll(/^ {2}(\w+)$/gm)].map(([, name]) => name)
  }
  const unserved = ['tick-started', 'tick-already-running', 'tick-stopped', 'snapshot-pack', 'compact-ack']
  const known = new Set([...await types('message.ts'), ...(await types('server-message.ts')).filter((name) => !unserved.includes(name))])
  t.same(names(table('messages')).sort(), [...known].sort())
})

t.test('RE-5 the typed examples compile as a user would compile them, against the package', async (t) => {
  t.ok(typed.length > 0)
  const folder = join(ROOT, '.tap', 'readme-types')
  await mkdir(folder, { recursive: true })
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  for (const [i, example] of typed.entries()) await writeFile(join(folder, `example-${i}.ts`), example)
  const compilerOptions = { target: 'es2023', module: 'nodenext', strict: true, noEmit: true, skipLibCheck: true, types: ['node'] }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }))
  await run(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder], { cwd: ROOT, env })
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
  t.equal(examples.get('server'), await readFile(join(ROOT, 'examples/minimal/server.js'), 'utf8'))
  const port = await freePort()
  const data = t.testdir()
  const server = spawn(process.execPath, ['examples/minimal/server.js'], { cwd: ROOT, env: { ...env, PORT: String(port), DATA: data } })
  t.teardown(() => server.kill('SIGKILL'))
  for await (const line of server.stdout) if (String(line).includes('Server listening')) break
  const { stdout } = await run(process.execPath, ['examples/minimal/peer.js'], { cwd: ROOT, env: { ...env, URL: `ws://127.0.0.1:${port}` } })
  t.match(stdout, /^1 node\(s\) in the room/)
  const answer = await fetch(`http://127.0.0.1:${port}/rooms/plans/title`)
  t.same(await answer.json(), { title: 'Hello from a peer' })
  const client = examples.get('client') ?? ''
  t.match(client, "'http://localhost:3000'")
  await mkdir(join(ROOT, '.tap'), { recursive: true })
  const script = join(ROOT, '.tap', `readme-client-${process.pid}.mjs`)
  t.teardown(() => rm(script, { force: true }))
  await writeFile(script, client.replace('http://localhost:3000', `http://127.0.0.1:${port}`))
  t.match((await run(process.execPath, [script], { cwd: ROOT, env })).stdout, /^Hello\n/)
  const { title } = await (await fetch(`http://127.0.0.1:${port}/rooms/plans/title`)).json() as { title: string }
  t.ok(['HelloHello from a peer', 'Hello from a peerHello'].includes(title), 'both wrote at the start without having seen one another')
})

/** What the fragments of the README take for granted. */
const AROUND: Record<string, { before: string, after: string }> = {
  authenticate: {
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
  lock: {
    before: `import Fastify from 'fastify'; import nodalmerge, { createSigner } from 'nodalmerge'
const app = Fastify(); await app.register(nodalmerge); await app.ready()
const roomPublicKey = createSigner(new Uint8Array(32).fill(1)).publicKey; const alicePublicKey = createSigner(new Uint8Array(32).fill(2)).publicKey\n`,
    after: "console.log('seen', (await room.rights()).key !== null, (await room.rights()).timeline.length)\nawait app.close()"
  }
}

t.test('RE-3 every example of the README runs', async (t) => {
  t.same([...examples.keys()], ['server', 'client', 'authenticate', 'lock', 'suite', 'peer'])
  const folder = join(ROOT, '.tap', 'readme')
  await mkdir(folder, { recursive: true })
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  async function output (name: string, ...flags: string[]): Promise<string> {
    const file = join(folder, `${name}.mjs`)
    const { before, after } = AROUND[name] ?? { before: '', after: '' }
    await writeFile(file, before + String(examples.get(name)) + after)
    return (await run(process.execPath, [...flags, file], { cwd: ROOT, env })).stdout
  }
  t.match(await output('authenticate'), /seen reject\.path_scope_forbidden 1008/)
  t.match(await output('lock'), /seen true 2/)
  const suite = await output('suite', '--test', '--test-reporter=tap')
  t.match(suite, /# fail 0/)
  t.match(suite, /# pass [1-9]\d/)
  t.equal((await output('peer')).trim(), '1')
})
