import t from 'tap'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadBlake3 } from '../../lib/protocol/blake3-wasm.js'
import { fromBase64 } from '../../lib/protocol/base64.js'
import { bytesOf } from '../../lib/protocol/node.js'
import { scanPack } from '../../lib/protocol/pack.js'
import { canonicalHash } from './canonical.js'
import { type FuzzServer, fuzz } from './fuzz.js'
import { createMiniServer } from './mini-server.js'
import { roomServer } from './room-server.js'
import { socketServer } from './socket-server.js'

const blake3 = await loadBlake3()
const vectors = JSON.parse(readFileSync(new URL('../vectors/vectors-public.json', import.meta.url), 'utf8')).derived
const SEEDS = Number(process.env.FUZZ_SEEDS ?? 1_000)
const FIRST = Number(process.env.FUZZ_FIRST ?? 1)

function miniServer (damage: (text: string) => string | null = (text) => text): FuzzServer {
  const server = createMiniServer({ blake3, deliver: (run) => { run() } })
  return {
    open () {
      const socket = server.connect('/ws/fuzz')
      return {
        send (text) {
          const damaged = damage(text)
          if (damaged !== null) socket.send(damaged)
        },
        onFrame: (listen) => { socket.addEventListener('message', ({ data }) => { listen(String(data)) }) },
        onClose: (listen) => { socket.addEventListener('close', ({ code, reason }) => { listen(`${code} ${reason}`) }) },
        close: () => { socket.close() }
      }
    },
    settle: async () => {},
    restart: async () => { server.restart() }
  }
}

t.test('CL-14 the canonical hash that decides a run is that of the vectors', async (t) => {
  const nodes = scanPack(fromBase64(vectors.linear_chain.pack_base64)).map(bytesOf)
  t.equal(canonicalHash(nodes.slice(0, 5), blake3), vectors.linear_chain.canonical_hash_after_first_5)
  t.equal(canonicalHash([...nodes].reverse(), blake3), vectors.linear_chain.canonical_hash_after_all_8)
  t.equal(canonicalHash([], blake3), vectors.canonical_hash[0].hash_hex)
})

t.test('CL-15 peers over an honest server converge from every seed, and the same seed takes the same steps', async (t) => {
  let nodes = 0
  for (let seed = FIRST; seed < FIRST + SEEDS / 40; seed++) nodes += (await fuzz({ seed, server: miniServer(), blake3 })).nodes
  t.ok(nodes > SEEDS / 4, `${nodes} nodes`)
  t.strictSame(await fuzz({ seed: 7, server: miniServer(), blake3 }), await fuzz({ seed: 7, server: miniServer(), blake3 }))
})

t.test('CL-16 a server that loses or forges anything is found out', async (t) => {
  let count = 0
  const losing = miniServer((text) => text.includes('"type":"pack"') && ++count % 5 === 0 ? null : text)
  await t.rejects(fuzz({ seed: 1, server: losing, blake3 }), /seed 1: .*(lacks|acknowledge|orphans)[^]*connects/)
})

t.test('CL-17 peers over the rooms of this server converge from every seed', async (t) => {
  let nodes = 0
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) nodes += (await fuzz({ seed, server: await roomServer(t), blake3 })).nodes
  t.ok(nodes > SEEDS * 10, `${nodes} nodes in ${SEEDS} runs`)
  const [once, again] = [await fuzz({ seed: 7, server: await roomServer(t), blake3 }), await fuzz({ seed: 7, server: await roomServer(t), blake3 })]
  t.strictSame(again, once, 'the same seed takes the same steps')
})

t.test('CL-18 peers over real sockets and the embedded store converge, with the server closed and started again', async (t) => {
  const folder = t.testdir()
  for (let seed = FIRST; seed < FIRST + Math.ceil(SEEDS / 100); seed++) {
    const result = await fuzz({ seed, server: await socketServer(t, join(folder, `${seed}`)), blake3 })
    t.ok(result.nodes > 0, `seed ${seed}: ${result.nodes} nodes`)
  }
})
