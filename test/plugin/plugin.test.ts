import t from 'tap'
import websocket from '@fastify/websocket'
import { once } from 'node:events'
import { join } from 'node:path'
import { WebSocket } from 'ws'
import nodalmerge, { type NodalmergeOptions, memoryBlobs, memoryNodes } from '../../lib/index.js'
import { faultyNodeStore } from '../../lib/testing/faulty-node-store.js'
import { UNMETERED, backend, host, listen, packOf, peer, set } from './host.js'
import { connectRaw } from './raw.js'

t.test('FP-1 registered without options it serves rooms, and says in the log that it keeps them in memory', async (t) => {
  const { app, log } = backend(t)
  await app.register(nodalmerge)
  const { join } = await listen(app, log)
  const [anna, ben] = [join('plans', peer(1)), join('plans', peer(2))]
  await Promise.all([anna.synced(), ben.synced()])
  anna.write(set('a'))
  await Promise.all([anna.synced(), ben.until(() => ben.peer.size === 1)])
  t.equal(ben.peer.root, anna.peer.root)
  t.equal(log.filter(({ level, msg }) => level === 40 && msg.includes('in memory')).length, 1)
})

t.test('FP-2 with its own storage, or with both stores given, it says nothing of memory', async (t) => {
  for (const options of [{ data: t.testdir() }, { nodes: memoryNodes(), blobs: memoryBlobs() }]) {
    const { app, log } = backend(t)
    await app.register(nodalmerge, options)
    await app.ready()
    t.notOk(log.some(({ msg }) => msg.includes('in memory')))
    await app.close()
  }
})

t.test('FP-3 a prefix, its own or that of the scope around it, comes before every route', async (t) => {
  const { app } = backend(t)
  await app.register(async (scope) => {
    await scope.register(nodalmerge, { prefix: '/sync' })
  }, { prefix: '/v1' })
  const { raw } = await listen(app)
  t.match(await raw('/v1/sync/ws/plans').hello(), { room: 'plans', frontier: [] })
  t.equal((await app.inject('/v1/sync/ws/plans')).statusCode, 426)
  t.equal((await app.inject('/ws/plans')).statusCode, 404)
  t.equal((await app.inject(`/v1/sync/blobs/${'0'.repeat(64)}`)).statusCode, 404)
  await t.rejects(raw('/ws/plans').opened(), { message: /404/ })
})

t.test('FP-4 two registrations in two scopes share nothing but the port', async (t) => {
  const { app } = backend(t)
  const folder = t.testdir()
  const keys: string[] = []
  for (const name of ['one', 'two']) {
    await app.register(async (scope) => {
      await scope.register(nodalmerge, { prefix: `/${name}`, data: join(folder, name) })
      keys.push(Buffer.from(scope.nodalmerge.publicKey).toString('hex'))
    })
  }
  const { url, raw } = await listen(app)
  t.notOk(app.hasDecorator('nodalmerge'), 'the outer scope is left alone')
  t.not(keys[0], keys[1], 'each has its own key')
  for (const [i, name] of ['one', 'two'].entries()) {
    const client = raw(`/${name}/ws/plans`)
    t.match(await client.hello(), { server_pubkey: keys[i], session_id: 1, frontier: [], peers: [] })
    const writer = peer(i)
    client.send({ type: 'pack', nodes: Buffer.from(writer.pack([writer.write(set(name))])).toString('base64') })
    t.match(await client.next('pack-ack'), { accepted_count: 1 })
    t.match(await connectRaw(`${url}/${name}/ws/plans`).hello(), { frontier: writer.frontier })
  }
  await app.close()
  t.pass('and both close')
})

t.test('FP-5 the WebSocket support of the host is used when there is one, and its routes go on', async (t) => {
  const { app } = backend(t)
  await app.register(websocket, { options: { maxPayload: 1 << 20 } })
  app.get('/echo', { websocket: true }, (socket) => {
    socket.on('message', (data) => socket.send(JSON.stringify({ type: 'echo', text: String(data) })))
  })
  const nodes = faultyNodeStore(memoryNodes())
  await app.register(nodalmerge, { nodes })
  const { raw } = await listen(app)
  t.equal(app.server.listenerCount('upgrade'), 1)
  t.match(await raw().hello(), { room: 'plans' })
  const echo = raw('/echo')
  await echo.opened()
  echo.send('hallo')
  t.match(await echo.next('echo'), { text: 'hallo' })
  const live = raw()
  await live.hello()
  const writer = peer(1)
  live.send(packOf(writer.pack([writer.write(set('a'))])))
  await live.next('pack-ack')
  await app.close()
  t.ok([1005, 1012].includes((await live.closed()).code), 'the host closes its sockets itself, in the order of its plugins')
  t.equal(nodes.faults.calls('close'), 1)
})

t.test('FP-6 routes of the host that are no WebSockets refuse an upgrade, and ours answers everything else as before', async (t) => {
  const { app } = backend(t)
  app.get('/plain', async () => 'plain')
  await app.register(nodalmerge)
  app.get('/later', async () => 'later')
  const { raw } = await listen(app)
  t.equal((await app.inject('/plain')).body, 'plain')
  t.equal((await app.inject('/later')).body, 'later')
  await t.rejects(raw('/nowhere').opened(), { message: /404/ })
})

t.test('FP-7 somebody else who answers upgrades is reported, whether there before or coming after', async (t) => {
  const before = backend(t).app
  before.server.on('upgrade', () => {})
  await t.rejects(Promise.resolve(before.register(nodalmerge)), { code: 'plugin.upgrade_conflict' })

  const after = backend(t).app
  await after.register(nodalmerge)
  after.server.on('upgrade', () => {})
  await t.rejects(after.listen({ port: 0, host: '127.0.0.1' }), { code: 'plugin.upgrade_conflict' })

  const within = backend(t).app
  await within.register(async (scope) => { await scope.register(nodalmerge, { prefix: '/one' }) })
  await within.register(async (scope) => { await scope.register(websocket) })
  await t.rejects(Promise.resolve(within.ready()), { code: 'plugin.upgrade_conflict' })
})

t.test('FP-8 inject and injectWS work without a port', async (t) => {
  const { app } = backend(t)
  await app.register(nodalmerge)
  await app.ready()
  const socket = await app.injectWS('/ws/plans') as unknown as WebSocket
  const client = connectRaw(socket)
  t.match(await client.hello(), { room: 'plans' })
  client.send({ type: 'server-info' })
  t.match(await client.next('server-info'), { pubkey: Buffer.from(app.nodalmerge.publicKey).toString('hex') })
  t.equal((await app.inject('/ws/plans')).statusCode, 426)
  socket.terminate()
})

t.test('FP-9 a plain request to the socket route is told to upgrade; other methods are not found', async (t) => {
  const { app } = await host(t)
  const answer = await app.inject('/ws/plans')
  t.equal(answer.statusCode, 426)
  t.equal(answer.headers.upgrade, 'websocket')
  t.equal(answer.json().error, 'upgrade required')
  for (const method of ['HEAD', 'POST', 'PUT', 'DELETE'] as const) t.equal((await app.inject({ method, url: '/ws/plans' })).statusCode, 404, method)
})

t.test('FP-10 the room is the one raw path segment, decoded once', async (t) => {
  const { raw } = await host(t)
  const rooms: Record<string, string> = {
    plans: 'plans',
    'a%2Fb': 'a/b',
    'a%252Fb': 'a%2Fb',
    '%E2%82%AC%20%F0%9F%8C%8D': '€ 🌍',
    'no%23t%3Fa': 'no#t?a',
    'a+b;c=d': 'a+b;c=d',
    'q?token=/x/y': 'q',
    ['long'.repeat(60)]: 'long'.repeat(60),
    '..%2F..%2Fetc': '../../etc',
    __proto__: '__proto__',
    constructor: 'constructor'
  }
  for (const [path, room] of Object.entries(rooms)) {
    const client = raw(`/ws/${path}`)
    t.match(await client.hello({ room: 'elsewhere' }), { room }, path)
  }
})

t.test('FP-11 a path that names no room is not found and not upgraded', async (t) => {
  const { app, raw } = await host(t)
  for (const path of ['/ws/', '/ws', '/ws/a/b', '/ws//a', '/ws/a/', '/ws/a/a', '/ws/runtime/x']) {
    await t.rejects(raw(path).opened(), { message: /404/ }, path)
    t.equal((await app.inject(path)).statusCode, 404, path)
  }
  await t.rejects(raw('/ws/%E2%82').opened(), { message: /40[04]/ }, 'half a character')
  t.equal((await app.nodalmerge.rooms()[Symbol.asyncIterator]().next()).done, true, 'and no room came into being')
})

t.test('FP-12 room ids nobody could keep are refused at hello', async (t) => {
  const { raw } = await host(t)
  for (const path of ['x'.repeat(257), '%00', 'a%00b', '%F0%9F%8C%8D'.repeat(65)]) {
    const client = raw(`/ws/${path}`)
    await client.opened()
    client.send({ type: 'hello', pubkey: 'a'.repeat(64) })
    t.match(await client.next('error'), { code: 'reject.room_invalid' })
    t.match(await client.closed(), { code: 1008 })
  }
})

t.test('FP-13 under /ws/runtime the room is the one of the hello', async (t) => {
  const { raw, join } = await host(t)
  const writer = join('a/b', peer(1))
  await writer.synced()
  writer.write(set('a'))
  await writer.synced()
  t.match(await raw('/ws/runtime').hello({ room: 'a/b' }), { room: 'a/b', frontier: writer.peer.frontier })
  for (const room of ['', undefined, 7, null]) {
    const client = raw('/ws/runtime')
    await client.opened()
    client.send({ type: 'hello', pubkey: 'a'.repeat(64), room })
    await client.next('error')
    t.equal((await client.closed()).code, 1008, String(room))
  }
})

const TYPES: Array<[string, unknown]> = [
  ['prefix', { prefix: 5 }], ['data', { data: 5 }], ['data', { data: null }], ['nodes', { nodes: 5 }], ['nodes', { nodes: {} }],
  ['nodes', { nodes: null }], ['blobs', { blobs: 'memory' }], ['blobs', { blobs: { open () {} } }], ['key', { key: 5 }], ['key', { key: [1] }],
  ['operatorKey', { operatorKey: 5 }], ['authenticate', { authenticate: 'yes' }], ['authorize', { authorize: {} }],
  ['durability', { durability: 5 }], ['readScope', { readScope: true }], ['blobsHttp', { blobsHttp: 5 }],
  ['blobsHttp.token', { blobsHttp: { token: 5 } }], ['blobsHttp.authorize', { blobsHttp: { authorize: 5 } }], ['limits', { limits: 5 }],
  ['limits.messageBytes', { limits: { messageBytes: '5' } }], ['limits.idleMs', { limits: { idleMs: null } }], ['verifyThreads', { verifyThreads: 'two' }]
]

const VALUES: Array<[string, unknown]> = [
  ['data', { data: '' }], ['key', { key: new Uint8Array(31) }], ['key', { key: 'zz' }], ['operatorKey', { operatorKey: 'ab' }],
  ['operatorKey', { operatorKey: new Uint8Array(33) }], ['durability', { durability: 'loose' }], ['readScope', { readScope: 'planet' }],
  ['blobsHttp.token', { blobsHttp: { token: '' } }], ['blobsHttp', { blobsHttp: true }], ['limits.messageBytes', { limits: { messageBytes: 0 } }],
  ['limits.orphanNodes', { limits: { orphanNodes: -1 } }], ['limits.orphanNodes', { limits: { orphanNodes: 1.5 } }],
  ['limits.idleMs', { limits: { idleMs: Infinity } }], ['verifyThreads', { verifyThreads: 0 }], ['verifyThreads', { verifyThreads: 65 }],
  ['verifyThreads', { verifyThreads: 1.5 }], ['dta', { dta: './data' }], ['limits.messageByte', { limits: { messageByte: 5 } }],
  ['blobsHttp.tokens', { blobsHttp: { tokens: 'a' } }]
]

async function refusalOf (options: unknown): Promise<unknown> {
  const { app } = backend(t)
  try {
    await app.register(nodalmerge, options as NodalmergeOptions)
    return null
  } catch (error) {
    return error
  } finally {
    await app.close()
  }
}

t.test('FP-14 an option of a wrong type is refused with a TypeError that names it', async (t) => {
  for (const [name, options] of TYPES) {
    const error = await refusalOf(options)
    t.ok(error instanceof TypeError && error.message.includes(name), `${JSON.stringify(options)}: ${String(error)}`)
  }
})

t.test('FP-15 an option of a wrong value, or of a name that does not exist, is refused with a RangeError that names it', async (t) => {
  for (const [name, options] of VALUES) {
    const error = await refusalOf(options)
    t.ok(error instanceof RangeError && name.split('.').every((part) => error.message.includes(part)), `${JSON.stringify(options)}: ${String(error)}`)
  }
})

t.test('FP-16 what Fastify itself takes at a registration is no unknown option', async (t) => {
  t.equal(await refusalOf({ prefix: '/x', logLevel: 'warn' }), null)
  t.equal(await refusalOf({ logSerializers: {} }), null)
})

t.test('FP-17 stores that are given are used, opened and closed', async (t) => {
  const nodes = faultyNodeStore(memoryNodes())
  const { app, join } = await host(t, { nodes, blobs: memoryBlobs() })
  const anna = join('plans', peer(1))
  await anna.synced()
  anna.write(set('a'))
  await anna.synced()
  t.equal(nodes.faults.calls('open'), 1)
  t.equal(nodes.faults.calls('append'), 1)
  t.equal(await nodes.version('plans'), 1)
  await app.close()
  t.equal(nodes.faults.calls('close'), 1)
  await t.rejects(nodes.version('plans'), { code: 'store.closed' })
})

t.test('FP-18 a store that cannot be opened fails the start of the host', async (t) => {
  const nodes = faultyNodeStore(memoryNodes())
  nodes.faults.fail('open')
  const { app } = backend(t)
  await t.rejects(Promise.resolve(app.register(nodalmerge, { nodes, blobs: memoryBlobs() })), { code: 'store.failed' })
})

t.test('FP-19 authenticate gets the request with its headers and the hello; authorize gets what it answered', async (t) => {
  const seen: unknown[] = []
  const { url } = await host(t, {
    authenticate (request, hello) {
      seen.push([request.headers['x-user'], request.ip, (request.query as { lang?: string }).lang, hello.pubkey])
      return request.headers['x-user'] === undefined ? { refused: 'who are you' } : { subject: String(request.headers['x-user']), context: 7 }
    },
    authorize: ({ identity, room }, action) => {
      seen.push([identity, room, action.type])
      return action.type !== 'write' || action.keys[0] !== 'secret' || { refused: 'not that one' }
    }
  })
  const { WebSocket } = await import('ws')
  const client = connectRaw(new WebSocket(`${url}/ws/plans?lang=de`, { headers: { 'x-user': 'anna' } }))
  const anna = peer(1)
  await client.hello({ pubkey: anna.key })
  t.same(seen, [
    ['anna', '127.0.0.1', 'de', anna.key],
    [{ subject: 'anna', context: 7 }, 'plans', 'open'],
    [{ subject: 'anna', context: 7 }, 'plans', 'read']
  ])
  client.send({ type: 'pack', nodes: Buffer.from(anna.pack([anna.write(set('open')), anna.write(set('secret'))])).toString('base64') })
  t.match(await client.next('pack-ack'), { accepted_count: 1, rejected: [{ code: 'reject.path_scope_forbidden', msg: 'not that one' }] })

  const stranger = connectRaw(`${url}/ws/plans`)
  await stranger.opened()
  stranger.send({ type: 'hello', pubkey: 'b'.repeat(64) })
  t.match(await stranger.next('error'), { code: 'unauthorized.denied', msg: 'auth: who are you' })
  t.match(await stranger.closed(), { code: 1008 })
})

t.test('FP-20 a host callback that throws costs its session and nobody else', async (t) => {
  const { app, raw, log } = await host(t, {
    authenticate: (_request, hello) => {
      if (hello.pubkey.startsWith('b')) throw new Error('the user table is gone')
      return { subject: 'x' }
    },
    authorize: (_asker, action) => {
      if (action.type === 'command') throw new Error('no idea')
      return true
    }
  })
  const good = raw()
  await good.hello()
  const bad = raw()
  await bad.opened()
  bad.send({ type: 'hello', pubkey: 'b'.repeat(64) })
  t.match(await bad.closed(), { code: 1011, reason: 'internal error' })
  t.ok(log.some(({ err }) => err?.message === 'the user table is gone'), 'the host finds it in its log')
  good.send({ type: 'server-info' })
  await good.next('server-info')
  t.equal((await app.inject('/ws/plans')).statusCode, 426)
})

t.test('FP-21 the rest of the host is not touched: no content type parser, no hook, no error handler leaks out', async (t) => {
  const { app } = backend(t)
  await app.register(nodalmerge, { limits: UNMETERED })
  app.post('/json', async (request) => request.body)
  app.get('/fail', async () => { throw new Error('mine') })
  t.same((await app.inject({ method: 'POST', url: '/json', payload: { a: 1 } })).json(), { a: 1 })
  t.equal((await app.inject({ method: 'POST', url: '/json', payload: 'x', headers: { 'content-type': 'application/octet-stream' } })).statusCode, 415)
  t.match((await app.inject('/fail')).json(), { statusCode: 500, message: 'mine' })
})

t.test('FP-22 frames that arrive with the upgrade itself are not lost', async (t) => {
  const { url } = await host(t)
  const { connect } = await import('node:net')
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  const text = JSON.stringify({ type: 'hello', pubkey: 'a'.repeat(64) })
  const masked = Buffer.concat([Buffer.from([0x81, 0xfe, text.length >> 8, text.length & 255, 0, 0, 0, 0]), Buffer.from(text)])
  const upgrade = 'GET /ws/plans HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n'
  socket.write(Buffer.concat([Buffer.from(upgrade), masked]))
  let answer = ''
  while (!answer.includes('"welcome"')) answer += String((await once(socket, 'data'))[0])
  t.match(answer, /101 Switching Protocols/)
})

t.test('FP-71 messages of every length arrive whole at every socket, compressed or not', async (t) => {
  const { app, log } = backend(t)
  await app.register(websocket, { options: { perMessageDeflate: { threshold: 64 } } })
  await app.register(nodalmerge, { verifyThreads: 1, limits: UNMETERED })
  const { url } = await listen(app, log)
  const key = (n: number): string => String(n).padStart(64, '0')
  const joined = await Promise.all([false, false, true, false].map(async (perMessageDeflate, n) => {
    const raw = connectRaw(new WebSocket(`${url}/ws/lengths`, { perMessageDeflate }))
    await raw.hello({ pubkey: key(n) })
    t.equal(raw.socket.extensions, perMessageDeflate ? 'permessage-deflate' : '')
    return raw
  }))
  const [writer, ...readers] = joined
  const frame = (data: string) => ({ type: 'presence', from: key(0), data })
  const empty = JSON.stringify(frame('')).length
  for (const length of [125, 126, 127, 65_535, 65_536, 65_537]) {
    const data = 'x'.repeat(length - empty)
    writer.send({ type: 'presence', data })
    for (const reader of readers) t.same(await reader.next('presence'), frame(data), `${length} bytes`)
  }
})
