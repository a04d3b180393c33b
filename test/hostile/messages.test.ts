import t, { type Test } from 'tap'
import fc from 'fast-check'
import { REASONS, createSigner } from '../../lib/index.js'
import { type Message } from '../../lib/testing/connection.js'
import { type Host, host, packOf, peer, set } from '../plugin/host.js'
import type { Raw } from '../plugin/raw.js'
import { HELLO, MESSAGES, mutations } from './mutations.js'

interface Bystanders {
  /** Each writes one node more. */
  step (): void
  /** Waits until both have everything, and checks that neither noticed anything. */
  unharmed (): Promise<void>
}

/** Two honest peers in the same room who go on working. */
async function bystanders (t: Test, { join }: Host, room = 'plans'): Promise<Bystanders> {
  const pair = [join(room, peer(101)), join(room, peer(102))]
  await Promise.all(pair.map((each) => each.synced()))
  let steps = 0
  return {
    step () {
      steps++
      for (const each of pair) each.write(set(`honest ${steps % 10}`, String(steps)))
    },
    async unharmed () {
      const total = 2 * steps
      await Promise.all(pair.map((each) => each.until(() => each.unacknowledged === 0 && each.peer.size >= total, `all ${total} nodes`)))
      t.equal(pair[0].peer.root, pair[1].peer.root, 'the bystanders hold the same')
      for (const each of pair) {
        t.equal(each.refused.size, 0)
        t.notOk(each.frames.some(({ type }) => type === 'error'), 'and were told of no error')
      }
    }
  }
}

function checkErrors (t: Test, frames: readonly Message[]): void {
  const wrong = frames.filter(({ type, code, msg }) => type === 'error' && !(typeof msg === 'string' && String(code) in REASONS))
  t.same(wrong.slice(0, 3), [], 'every error has a code of the table and a text')
}

/** The session takes in the frame and still answers. */
async function survives (client: Raw, text: string): Promise<boolean> {
  client.send(text)
  client.send({ type: 'server-info' })
  const before = client.frames.length
  try {
    await client.until(() => {
      if (client.ended !== null) throw new Error(`closed with ${JSON.stringify(client.ended)}`)
      return client.frames.slice(before).some(({ type }) => type === 'server-info')
    }, 'an answer')
    return true
  } catch {
    return false
  }
}

function quiet (t: Test, { log }: Host): void {
  t.same(log.filter(({ level }) => level >= 50).map(({ msg, err }) => [msg, err?.message]), [], 'nothing failed inside')
  t.equal(({} as { polluted?: true }).polluted, undefined, 'no prototype was polluted')
}

t.test('HO-1 a live session survives every field of every message replaced by every kind of value', async (t) => {
  const server = await host(t)
  const others = await bystanders(t, server)
  let client = server.raw()
  await client.hello()
  let count = 0
  for (const message of MESSAGES) {
    for (const { name, text } of mutations(message)) {
      count++
      if (await survives(client, text)) continue
      t.fail(`${name}: ${JSON.stringify(client.ended)}`)
      client = server.raw()
      await client.hello()
    }
    checkErrors(t, client.frames)
    others.step()
  }
  t.comment(`${count} messages`)
  await others.unharmed()
  quiet(t, server)
})

t.test('HO-2 every mutation of a hello is welcomed, or told why not and closed with 1008', async (t) => {
  const server = await host(t)
  const others = await bystanders(t, server)
  const all = [...mutations(HELLO)]
  for (let at = 0; at < all.length; at += 50) {
    await Promise.all(all.slice(at, at + 50).map(async ({ name, text }) => {
      const client = server.raw()
      await client.opened()
      client.send(text)
      await client.until(() => client.ended !== null || client.frames.length > 0, name)
      if (client.frames[0]?.type === 'welcome') return client.leave()
      const { code } = await client.closed()
      if (code !== 1008 || client.frames[0]?.type !== 'error') t.fail(`${name}: ${code}, ${JSON.stringify(client.frames[0])}`)
      checkErrors(t, client.frames)
    }))
    others.step()
  }
  await others.unharmed()
  quiet(t, server)
})

t.test('HO-3 no mutation of a token opens a locked room', async (t) => {
  const owner = createSigner(new Uint8Array(32).fill(9))
  const server = await host(t)
  await server.app.nodalmerge.room('locked').lock(owner.publicKey)
  const all = [...mutations(HELLO, 'token')]
  await Promise.all(all.map(async ({ name, text }, i) => {
    const client = server.raw('/ws/locked')
    await client.opened()
    client.send(text.replaceAll('ab'.repeat(32), i.toString(16).padStart(64, '0')))
    const { code } = await client.closed()
    if (code !== 1008 || client.frames.some(({ type }) => type !== 'error')) t.fail(`${name}: ${code}, ${JSON.stringify(client.frames)}`)
  }))
  t.match(await server.app.nodalmerge.room('locked').open(), { sessions: 0 })
  quiet(t, server)
})

t.test('HO-4 nested junk under known names does no harm', async (t) => {
  const server = await host(t)
  const others = await bystanders(t, server)
  let client = server.raw()
  await client.hello()
  const names = [...new Set(MESSAGES.flatMap((message) => Object.keys(message)))].filter((name) => name !== 'type')
  const junk = fc.tuple(
    fc.constantFrom(...MESSAGES.map((message) => (message as Message).type)),
    fc.dictionary(fc.constantFrom(...names), fc.jsonValue({ maxDepth: 5, noUnicodeString: false }))
  )
  const seed = Number(process.env.SEED ?? 20_261_121)
  t.comment(`SEED=${seed}`)
  await fc.assert(fc.asyncProperty(junk, async ([type, fields]) => {
    others.step()
    if (await survives(client, JSON.stringify({ ...fields, type }))) return
    const { ended } = client
    client = server.raw()
    await client.hello()
    throw new Error(`closed with ${JSON.stringify(ended)}`)
  }), { seed, numRuns: 500 })
  await others.unharmed()
  quiet(t, server)
})

t.test('HO-5 what is no JSON is answered and the session goes on', async (t) => {
  const server = await host(t)
  const client = server.raw()
  await client.hello()
  for (const text of ['', ' ', '{', '}', '{"type":"pack"', '{"type":}', 'undefined', 'NaN', "{'type':'pack'}", '{"type":"pack",}', '\u0000', '\ufeff{}', '[1,2', '"\\ud8', '1e', '{"a":1}{"b":2}', 'x'.repeat(1_000_000)]) {
    client.send(text)
    t.match(await client.next('error'), { msg: 'invalid JSON', code: 'reject.protocol_invalid_message' }, text.slice(0, 20))
  }
  quiet(t, server)
})

t.test('HO-6 messages of unknown types and JSON that is no message are ignored', async (t) => {
  const server = await host(t)
  const client = server.raw()
  await client.hello()
  for (const message of ['null', '[]', '{}', '1', '"pack"', 'true', '{"type":"nonsense"}', '{"type":["pack"]}', '{"type":"__proto__"}', '{"type":"constructor"}', '{"type":"toString"}', '{"type":"unknown"}', '{"type":""}', '{"TYPE":"pack"}']) {
    client.send(message)
  }
  client.send({ type: 'server-info' })
  await client.next('server-info')
  t.same(client.frames.map(({ type }) => type), ['welcome', 'server-info'])
  quiet(t, server)
})

t.test('HO-7 JSON nested beyond reason ends nothing but, at most, its own message', async (t) => {
  const server = await host(t)
  const others = await bystanders(t, server)
  for (const depth of [1_000, 10_000, 100_000, 1_000_000]) {
    for (const [open, close] of [['[', ']'], ['{"a":', '}']]) {
      const nested = open.repeat(depth) + (open === '[' ? '' : '1') + close.repeat(depth)
      for (const text of [nested, `{"type":"presence","data":${nested}}`, `{"type":"webrtc-offer","sdp":${nested}}`, `{"type":"pack","nodes":"AA==","id":${nested}}`]) {
        const client = server.raw()
        await client.hello()
        t.ok(await survives(client, text), `${depth} deep: ${text.slice(0, 30)} ${JSON.stringify(client.ended)}`)
        await client.leave()
      }
    }
    others.step()
  }
  await others.unharmed()
  quiet(t, server)
})

t.test('HO-8 a binary frame is closed with 1003, before and after the hello', async (t) => {
  const server = await host(t)
  const first = server.raw()
  await first.opened()
  first.send(Buffer.from(JSON.stringify(HELLO)))
  t.equal((await first.closed()).code, 1003)
  const live = server.raw()
  await live.hello()
  live.send(Buffer.from([0]))
  t.equal((await live.closed()).code, 1003)
})

t.test('HO-9 a frame over the limit is closed with 1009, whole or in fragments, before and after the hello', async (t) => {
  const server = await host(t, { limits: { messageBytes: 100_000 } })
  const others = await bystanders(t, server)
  for (const greet of [true, false]) {
    for (const fragments of [1, 4]) {
      const client = server.raw()
      await client.opened()
      if (greet) await client.hello()
      const part = 'x'.repeat(120_000 / fragments)
      for (let i = 1; i <= fragments; i++) client.socket.send(part, { binary: false, fin: i === fragments })
      t.equal((await client.closed()).code, 1009, `${fragments} fragments, ${greet ? 'live' : 'first'}`)
    }
  }
  const fits = server.raw()
  await fits.hello()
  fits.send(JSON.stringify({ type: 'nonsense', pad: 'x'.repeat(99_000) }))
  fits.send({ type: 'server-info' })
  await fits.next('server-info')
  others.step()
  await others.unharmed()
})

t.test('HO-10 frames that are no WebSocket frames end their connection only', async (t) => {
  const server = await host(t)
  const others = await bystanders(t, server)
  const wrong: Record<string, number[]> = {
    unmasked: [0x81, 0x02, 0x7b, 0x7d],
    'reserved opcode': [0x83, 0x80, 0, 0, 0, 0],
    'reserved bit': [0xc1, 0x80, 0, 0, 0, 0],
    'continuation of nothing': [0x80, 0x80, 0, 0, 0, 0],
    'a length of 2^63': [0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    'invalid UTF-8': [0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28],
    'a long ping': [0x89, 0xfe, 0x01, 0x00, 0, 0, 0, 0]
  }
  for (const [name, bytes] of Object.entries(wrong)) {
    const client = server.raw()
    await client.hello()
    const stream = (client.socket as unknown as { _socket: { write (bytes: Buffer): void } })._socket
    stream.write(Buffer.from(bytes))
    t.match((await client.closed()).code, /^(1002|1007|1009|1006)$/, name)
    others.step()
  }
  await others.unharmed()
  quiet(t, server)
})

t.test('HO-11 long lists and hostile patterns in a subscription hold nobody up', async (t) => {
  const server = await host(t)
  const others = await bystanders(t, server)
  const stars = '*a'.repeat(250) + '**/'.repeat(100)
  const lists: string[][] = [
    new Array<string>(100_000).fill('never/*'),
    Array.from({ length: 50_000 }, (_, i) => `${'*'.repeat(i % 50)}x${i}**/y`),
    new Array<string>(200).fill(stars),
    ['a'.repeat(1_000_000)],
    ['**/'.repeat(200_000)],
    new Array<string>(1_000_000).fill('')
  ]
  const clients = []
  for (const patterns of lists) {
    const client = server.raw()
    await client.hello({ pubkey: String(clients.length).padStart(64, '0') })
    client.send({ type: 'subscribe', patterns })
    client.send({ type: 'server-info' })
    await client.until(() => client.ended !== null || client.frames.some(({ type }) => type === 'server-info'), 'an answer')
    const greeted = server.raw()
    await greeted.opened()
    greeted.send({ type: 'hello', pubkey: 'c'.repeat(64), subscribe: patterns })
    await greeted.until(() => greeted.ended !== null || greeted.frames.length > 0, 'an answer to hello')
    clients.push(client, greeted)
  }
  const writer = server.join('plans', peer(103))
  await writer.synced()
  const long = 'a'.repeat(2_000)
  for (let i = 0; i < 200; i++) writer.write(set(`${long}/${i}`))
  const began = performance.now()
  await writer.synced(10_000)
  others.step()
  t.comment(`200 nodes past hostile subscriptions: ${Math.round(performance.now() - began)} ms`)
  for (const client of clients) t.not(client.ended?.code, 1011)
  quiet(t, server)
})

t.test('HO-12 the server\'s key is nobody else\'s: not in a hello, however spelled, and not as an author', async (t) => {
  const server = await host(t)
  const key = Buffer.from(server.app.nodalmerge.publicKey).toString('hex')
  for (const [i, pubkey] of [key, key.toUpperCase(), key.replace(/[a-f]/, (digit) => digit.toUpperCase())].entries()) {
    const client = server.raw(`/ws/room${i}`)
    await client.opened()
    client.send({ type: 'hello', pubkey })
    t.match(await client.next('error'), { code: 'unauthorized.reserved_identity', msg: /^auth: / })
    t.match(await client.closed(), { code: 1008, reason: 'auth failed' })
  }
  const client = server.raw()
  await client.hello({ peer_id: key, peer_type: 'server' })
  client.send({ type: 'set-policy', default: 'deny' })
  t.match(await client.next('error'), { code: 'reject.control_plane_forbidden' })
  const forger = peer(5)
  const node = Buffer.from(forger.write(set('a')))
  node.set(server.app.nodalmerge.publicKey, 32)
  client.send(packOf(forger.pack([node])))
  t.match(await client.next('pack-ack'), { accepted_count: 0, rejected: [{ code: 'reject.hash_mismatch' }] })
})
