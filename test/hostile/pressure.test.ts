import t, { type Test } from 'tap'
import { connect, type Socket } from 'node:net'
import { randomBytes } from 'node:crypto'
import { WebSocket } from 'ws'
import type { Message } from '../../lib/testing/connection.js'
import { type Running, build, run } from '../crash/built.js'
import { type Host, host, joinAt, packOf, peer, set } from '../plugin/host.js'
import { connectRaw } from '../plugin/raw.js'

const SERVER = build(t.testdir(), 'test/crash/server.ts')

const UPGRADE = 'GET /ws/plans HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n'

/** A TCP connection that speaks, or does not speak, for itself. */
function plainSocket (t: Test, url: string): { socket: Socket, until: (text: string | RegExp) => Promise<string>, ended: Promise<void> } {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  let received = ''
  const ended = new Promise<void>((resolve) => socket.on('close', () => resolve()))
  const until = (text: string | RegExp): Promise<string> => new Promise((resolve, reject) => {
    const look = (): void => { if (typeof text === 'string' ? received.includes(text) : text.test(received)) resolve(received) }
    socket.on('data', (data) => {
      received += data.toString('latin1')
      look()
    })
    socket.on('close', () => reject(new Error(`ended after: ${received}`)))
    look()
  })
  return { socket, until, ended }
}

/** A masked text frame; `announced` is the length its header claims. */
function textFrame (text: string, announced = text.length): Buffer {
  const header = Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
  header.writeBigUInt64BE(BigInt(announced), 2)
  return Buffer.concat([header, Buffer.from(text)])
}

const isClose = (code: number): RegExp => new RegExp(`\\x88[\\s\\S]${String.fromCharCode(code >> 8)}${String.fromCharCode(code & 255).replace(/[\\^$.*+?()[\]{}|]/, '\\$&')}`)

t.test('HO-40 a hello that never comes, never ends or comes byte by byte is cut off in time', async (t) => {
  const server = await host(t, { limits: { helloTimeoutMs: 1_000, sendTimeoutMs: 1_000 } })
  const honest = server.join('plans', peer(1))
  const starts: Buffer[] = [Buffer.alloc(0), textFrame('{"type":"hello",', 5_000), Buffer.from([0x81]), Buffer.from([0x89, 0x80, 0, 0, 0, 0])]
  await Promise.all([...starts, null].map(async (start) => {
    const { socket, until, ended } = plainSocket(t, server.url)
    socket.write(UPGRADE)
    await until('101 Switching Protocols')
    if (start !== null) {
      socket.write(start)
    } else {
      const frame = textFrame(JSON.stringify({ type: 'hello', pubkey: 'a'.repeat(64) }), 100_000)
      let at = 0
      const drip = setInterval(() => socket.write(frame.subarray(at, ++at)), 50)
      socket.on('close', () => clearInterval(drip))
    }
    await until(isClose(1008))
    await ended
  }))
  const silent = connectRaw(`${server.url}/ws/plans`)
  t.same(await silent.closed(), { code: 1008, reason: 'hello timeout' })
  await honest.synced()
  t.pass('all were closed with 1008 and their connections dropped')
})

t.test('HO-41 upgrades that never end do not keep the host from serving', async (t) => {
  const server = await host(t)
  const slow = Array.from({ length: 50 }, (_, i) => {
    const { socket } = plainSocket(t, server.url)
    socket.write(UPGRADE.slice(0, 40 + i))
    return socket
  })
  const honest = server.join('plans', peer(1))
  await honest.synced()
  // The HTTP server itself would wait for the rest of their headers when it closes.
  for (const socket of slow) socket.destroy()
})

t.test('HO-42 who does not answer pings is dropped, and the others hear that it left', async (t) => {
  const server = await host(t, { limits: { pingMs: 500 } })
  const watcher = server.raw()
  await watcher.hello()
  const { socket, until, ended } = plainSocket(t, server.url)
  socket.write(UPGRADE)
  await until('101 Switching Protocols')
  socket.write(textFrame(JSON.stringify({ type: 'hello', pubkey: 'b'.repeat(64) })))
  await until('"welcome"')
  await watcher.next('peer-joined')
  t.match(await watcher.next('peer-left'), { from: 'b'.repeat(64) })
  await ended
  t.equal(watcher.ended, null, 'one that answers stays')
})

/** Stops reading from the network, below the WebSocket. */
function stall (socket: WebSocket): () => void {
  const stream = (socket as unknown as { _socket: Socket })._socket
  stream.pause()
  return () => { stream.resume() }
}

async function outlast (t: Test, server: Host, expected: readonly number[]): Promise<void> {
  const [writer, reader] = [server.join('plans', peer(1), { within: 30_000 }), server.join('plans', peer(2), { within: 30_000 })]
  await Promise.all([writer.synced(), reader.synced()])
  const lame = server.raw()
  await lame.hello({ pubkey: 'c'.repeat(64) })
  const resume = stall(lame.socket)
  const left = (): Message | undefined => reader.frames.find(({ type }) => type === 'peer-left')
  const value = 'v'.repeat(64_000)
  let written = 0
  while (left() === undefined && written < 2_000) {
    writer.write(set(`k${written++ % 50}`, value))
    if (written % 20 === 0) await writer.synced()
  }
  t.match(await reader.until(left), { from: 'c'.repeat(64) })
  await Promise.all([writer.synced(), reader.until(() => reader.peer.size === written, 'everything')])
  t.equal(reader.peer.root, writer.peer.root, `the others have all ${written} nodes`)
  resume()
  const { code } = await lame.closed()
  t.ok(expected.includes(code), `closed with ${code}`)
  t.match(await server.app.nodalmerge.room('plans').open(), { sessions: 2 })
  const back = connectRaw(`${server.url}/ws/plans`)
  t.match(await back.hello(), { root: writer.peer.root }, 'and it may come back')
}

t.test('HO-43 a client that stops reading is told to resync once it is too far behind; the others get everything', async (t) => {
  await outlast(t, await host(t, { limits: { outboxBytes: 2 << 20, sendTimeoutMs: 60_000 } }), [4001])
})

t.test('HO-44 a client that does not take one write in time is dropped; the others get everything', async (t) => {
  const server = await host(t, { limits: { outboxBytes: 1 << 30, outboxFrames: 1 << 20, sendTimeoutMs: 1_000 } })
  // The close frame is lost when the connection is dropped before the client reads again.
  await outlast(t, server, [1006, 1011])
})

t.test('HO-45 a client that asks for much and reads nothing has its own asking stopped, and costs little memory', async (t) => {
  const server = await host(t, { limits: { inboxBytes: 1 << 20 } })
  const writer = server.join('plans', peer(1))
  await writer.synced()
  for (let i = 0; i < 40; i++) writer.write(set(`k${i}`, 'v'.repeat(100_000)))
  await writer.synced()
  const greedy = server.raw()
  await greedy.hello({ frontier: writer.peer.frontier })
  stall(greedy.socket)
  const before = process.memoryUsage().rss
  // Each of these is answered with 5 MB: 2.5 GB in all.
  for (let i = 0; i < 500; i++) greedy.send({ type: 'request', known: [] })
  for (let i = 0; i < 50; i++) writer.write(set('after', String(i)))
  await writer.synced()
  t.ok(process.memoryUsage().rss - before < 300e6, `${Math.round((process.memoryUsage().rss - before) / 1e6)} MB more`)
  greedy.socket.terminate()
})

t.test('HO-46 a client that floods is held to its rates, is told so, and does not keep the others waiting', async (t) => {
  const server = await host(t, { limits: { messagesPerSecond: 200, readsPerSecond: 20, inboxBytes: 1 << 20 } })
  const [anna, ben] = [server.join('plans', peer(1)), server.join('plans', peer(2))]
  await Promise.all([anna.synced(), ben.synced()])
  const flooder = server.raw()
  await flooder.hello()
  const data = 'x'.repeat(1_000)
  for (let i = 0; i < 20_000; i++) flooder.send({ type: i % 2 === 0 ? 'presence' : 'request', data })
  for (let i = 0; i < 100; i++) anna.write(set(`k${i}`))
  await Promise.all([anna.synced(), ben.until(() => ben.peer.size === 100)])
  flooder.send({ type: 'nonsense' })
  await flooder.until(() => flooder.frames.length >= 20_000 - 400, 'an answer to nearly every message')
  const told = flooder.frames.filter(({ code }) => code === 'reject.rate_limit_messages').length
  t.ok(told > 15_000, `${told} were told off`)
  t.equal(flooder.ended, null, 'soft limits close nobody')
  t.ok(ben.frames.filter(({ type }) => type === 'presence').length < 5_000)
})

t.test('HO-47 who pushes more nodes than its rate is closed with 4008, also when it comes back, and nobody else', async (t) => {
  const limits = { nodesPerSecond: 50, reconcileNodes: 100, bytesPerSecond: 1 << 20 }
  const server = await host(t, { limits })
  const other = server.join('plans', peer(2))
  await other.synced()
  const flooder = peer(1)
  for (let attempt = 0; attempt < 3; attempt++) {
    const client = server.raw()
    await client.hello({ pubkey: flooder.key })
    const nodes = Array.from({ length: 500 }, (_, i) => flooder.write(set(`k${i}`)))
    client.send(packOf(flooder.pack(nodes)))
    t.same(await client.closed(), { code: 4008, reason: 'rate limit exceeded' })
    t.notOk(client.frames.some(({ type }) => type === 'pack-ack' || type === 'error'))
  }
  other.write(set('a'))
  await other.synced()
  t.match(await server.app.nodalmerge.room('plans').open(), { nodes: 1 })
})

async function memory (child: Running): Promise<{ rss: number, heapUsed: number, external: number }> {
  const seen = child.lines.length
  process.kill(child.pid, 'SIGUSR2')
  await child.line((line) => child.lines.indexOf(line, seen) >= 0)
  return JSON.parse(child.lines[child.lines.length - 1]) as { rss: number, heapUsed: number, external: number }
}

/** Everything an ill-meaning client can do in a short visit. */
async function abuse (url: string, visit: number): Promise<void> {
  const client = connectRaw(`${url}/ws/room${visit % 50}`)
  await client.hello({ pubkey: randomBytes(32).toString('hex'), peer_id: 'p'.repeat(200), subscribe: ['a/**', `b${visit}/*`], frontier: new Array(100).fill(randomBytes(32).toString('hex')) })
  client.send({ type: 'pack', nodes: randomBytes(30_000).toString('base64') })
  client.send({ type: 'presence', data: 'x'.repeat(10_000) })
  client.send({ type: 'blob-upload', blobs: [{ hash: randomBytes(32).toString('hex'), data: 'AAAA' }] })
  client.send({ type: 'blob-request', hashes: Array.from({ length: 10 }, () => randomBytes(32).toString('hex')) })
  client.send({ type: 'mst-done', ids: Array.from({ length: 200 }, () => randomBytes(32).toString('hex')) })
  client.send('{'.repeat(1_000))
  const stranger = peer(1_000_000 + visit)
  stranger.write(set('never sent'))
  client.send(packOf(stranger.pack([stranger.write(set('orphan', 'o'.repeat(1_000)))])))
  client.send({ type: 'server-info' })
  await client.next('server-info')
  if (visit % 2 === 0) client.socket.terminate()
  else await client.leave()
}

t.test('HO-48 memory stays flat however many clients come, misbehave and go', async (t) => {
  const limits = { idleMs: 1, orphanMs: 1_000, orphanNodes: 100, reconcileEveryMs: 1_000, reconcileWindowMs: 1_000 }
  const child = await run(t, SERVER, [t.testdir(), JSON.stringify({ limits })], ['--expose-gc'])
  const url = String(child.ready.url)
  const wave = async (from: number, count: number): Promise<void> => {
    for (let at = from; at < from + count; at += 25) await Promise.all(Array.from({ length: 25 }, (_, i) => abuse(url, at + i)))
  }
  const honest = joinAt(`${url}/ws/honest`, 'honest', peer(1))
  await honest.synced()
  await wave(0, 250)
  const first = await memory(child)
  await wave(250, 750)
  const last = await memory(child)
  const growth = { heap: (last.heapUsed - first.heapUsed) / 1e6, external: (last.external - first.external) / 1e6, rss: (last.rss - first.rss) / 1e6 }
  t.comment(JSON.stringify(growth))
  // 750 visits that each left their frames behind would be 50 MB.
  t.ok(growth.heap < 4, `heap grew by ${growth.heap} MB`)
  t.ok(growth.external < 16, `external memory grew by ${growth.external} MB`)
  t.ok(growth.rss < 60, `the process grew by ${growth.rss} MB`)
  honest.write(set('a'))
  await honest.synced()
})

t.test('HO-49 rooms that were only looked at leave memory, also when nothing is durable', async (t) => {
  const child = await run(t, SERVER, ['', JSON.stringify({ limits: { idleMs: 1, reconcileEveryMs: 1, reconcileWindowMs: 1 } })], ['--expose-gc'])
  const look = async (from: number, count: number): Promise<void> => {
    for (let at = from; at < from + count; at += 50) {
      await Promise.all(Array.from({ length: 50 }, async (_, i) => {
        const client = connectRaw(`${String(child.ready.url)}/ws/never-again-${at + i}`)
        await client.hello()
        client.socket.terminate()
      }))
    }
  }
  const settle = async (): Promise<number> => {
    // Two rounds of housekeeping, seen from outside: a session's clock does not stand still.
    const sleeper = connectRaw(`${String(child.ready.url)}/ws/sleeper`)
    await sleeper.hello()
    await new Promise((resolve) => setTimeout(resolve, 2_500))
    await sleeper.leave()
    return (await memory(child)).heapUsed
  }
  await look(0, 500)
  const first = await settle()
  await look(500, 2_000)
  const growth = (await settle() - first) / 1e6
  t.ok(growth < 4, `2,000 rooms left ${growth} MB behind`)
})
