/**
 * Appends to the store in a folder and prints a line for every commit once it is acknowledged: the room, its last seq, or
 * `failed`. A node's content follows from its seq. Arguments: folder, bytes of a node's value, number of commits.
 */
import { writeSync } from 'node:fs'
import { levelNodes } from '../../lib/store/level.js'
import { sampleNodes } from '../../lib/testing/sample-nodes.js'

const [, , path, bytes, commits] = process.argv
const store = levelNodes({ path })
await store.open()
const rooms = ['a', 'b']
const ends = await Promise.all(rooms.map((room) => store.version(room)))
writeSync(1, 'open\n')
for (let i = 0; i < Number(commits); i++) {
  const appends = rooms.map((room, r) => ({ room, after: ends[r], nodes: sampleNodes(ends[r] + 1, 1 + (i + r) % 3, Number(bytes)) }))
  try {
    for (const [r, { room, last }] of (await store.append(appends)).entries()) {
      ends[r] = last
      writeSync(1, `${room} ${last}\n`)
    }
  } catch {
    writeSync(1, 'failed\n')
  }
}
await store.close()
