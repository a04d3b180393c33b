import t from 'tap'
import { host } from '../plugin/host.js'
import { history } from './doc-fuzz.js'

const SEEDS = Number(process.env.CLIENT_SEEDS ?? 60)
const FIRST = Number(process.env.SEED ?? Date.now() % 100_000)

t.test('DO-40 documents that edit, undo, part, reload and are refused come to the same state as the server', { timeout: 600_000 }, async (t) => {
  t.comment(`SEED=${FIRST} CLIENT_SEEDS=${SEEDS}`)
  const server = await host(t)
  const began = Date.now()
  let edits = 0
  let rejections = 0
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
    try {
      const done = await history(t, server, seed)
      edits += done.edits
      rejections += done.rejections
    } catch (error) {
      t.error(error, `SEED=${seed}`)
      break
    }
  }
  t.comment(`${SEEDS} histories, ${edits} edits, ${rejections} rejections in ${Date.now() - began} ms`)
  t.ok(edits > SEEDS * 20)
  if (SEEDS >= 10) t.ok(rejections > 0)
})
