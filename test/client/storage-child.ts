/**
 * Writes to the storage in a folder and prints a line for every write once it has resolved: how many nodes were written, how many of
 * them are confirmed. Node n follows from n. Arguments: folder.
 */
import { writeSync } from 'node:fs'
import { folderStorage } from '../../lib/client/storage-folder.js'
import { id, loaded, node } from './storage-nodes.js'

const room = await folderStorage({ path: process.argv[2] }).open('r')
const { identity } = await room.identity()
let written = (await loaded(room)).length + (await room.pending()).length
let confirmed = (await loaded(room)).length
writeSync(1, `${Buffer.from(identity).toString('hex')} ${written} ${confirmed}\n`)
for (;;) {
  const pending = Array.from({ length: 1 + written % 3 }, (_, i) => node(written + i + 1))
  const acknowledged = Array.from({ length: Math.min(2, written - confirmed) }, (_, i) => node(confirmed + i + 1))
  await room.write({ pending, confirmed: acknowledged, dropped: [id(node(1e6))] })
  written += pending.length
  confirmed += acknowledged.length
  writeSync(1, `${written} ${confirmed}\n`)
}
