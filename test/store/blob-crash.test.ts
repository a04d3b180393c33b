import { fork } from 'node:child_process'
import { once as event } from 'node:events'
import { readdir, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { fsBlobs } from '../../lib/store/fs.js'
import { bytesOf, folder, hashOf, seeded } from './blob-fixtures.js'

t.test('BS-60 after kill -9 in the middle of writing every name holds its bytes and nothing acknowledged is gone', async (t) => {
  const seed = Number(process.env.BLOB_CRASH_SEED ?? Date.now() % 1_000_000)
  t.comment(`seed ${seed}`)
  const random = seeded(seed)
  const root = await folder(t)
  const acknowledged = new Set<string>()
  let torn = 0
  for (let round = 0; round < 5; round++) {
    const child = fork(fileURLToPath(new URL('./blob-crash-child.ts', import.meta.url)), [root, String(seed + round)])
    let left = 1 + Math.floor(random() * 30)
    child.on('message', (hash) => {
      acknowledged.add(String(hash))
      if (--left === 0) child.kill('SIGKILL')
    })
    const [, signal] = await event(child, 'exit')
    t.equal(signal, 'SIGKILL')
    torn += (await readdir(join(root, 'blake3'))).filter((name) => name.endsWith('.tmp')).length
    const store = fsBlobs({ root })
    await store.open()
    const found = new Set<string>()
    for await (const hash of store.list()) {
      found.add(hash)
      if (await hashOf(await bytesOf(await store.get(hash))) !== hash) t.fail(`${hash} holds other bytes`)
    }
    t.same([...acknowledged].filter((hash) => !found.has(hash)), [], `round ${round}: ${acknowledged.size} acknowledged, ${found.size} found`)
    await store.close()
  }
  t.comment(`${torn} unfinished files were met`)
  for (const name of await readdir(join(root, 'blake3'))) if (name.endsWith('.tmp')) await utimes(join(root, 'blake3', name), 0, 0)
  const store = fsBlobs({ root })
  await store.open()
  await store.close()
  t.same((await readdir(join(root, 'blake3'))).filter((name) => name.endsWith('.tmp')), [], 'and swept')
})
