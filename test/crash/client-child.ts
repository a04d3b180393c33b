import { writeSync } from 'node:fs'
import { WebSocket } from 'ws'
import { createDoc } from '../../lib/client/index.js'
import type { WebSocketClass } from '../../lib/client/socket.js'
import { folderStorage } from '../../lib/client/storage-folder.js'

/**
 * A client that writes numbers to a map, a text and a list, one after the other, and prints each once it lies in storage. It goes on
 * after the highest number it finds. Arguments: URL, folder, and how it is: `plain`, `mute` (what it sends never leaves), `deaf` (no
 * acknowledgement arrives) or `last` (writes nothing, prints a line once the server has everything, and ends).
 */
const [url, path, how] = process.argv.slice(2)

class Socket extends WebSocket {
  override send (data: string): void {
    if (how !== 'mute' || !data.includes('"type":"pack"')) super.send(data)
  }

  override addEventListener (type: string, listen: unknown): void {
    const add = super.addEventListener.bind(this) as (type: string, listen: unknown) => void
    add(type, how !== 'deaf' || type !== 'message'
      ? listen
      : (event: { data: unknown }) => {
          if (!String(event.data).includes('"pack-ack"')) (listen as (event: unknown) => void)(event)
        })
  }
}

const doc = await createDoc({
  url, room: 'kill', storage: folderStorage({ path }), flushMs: 5, webSocket: Socket as unknown as WebSocketClass, reconnect: { minMs: 10, maxMs: 100 }
})
const map = doc.map<Record<string, number>>('map')
const text = doc.text('text')
const list = doc.list<number>('list')
const numbers = (): number[] => [0, ...Object.values(map.all()).map(Number), ...text.toString().split(';').map(Number), ...list.toArray().map(({ content }) => Number(content))]
let number = Math.max(...numbers())
writeSync(1, `${JSON.stringify({ number, status: doc.status.get() })}\n`)
if (how === 'last') {
  await doc.flush()
  await doc.whenSynced()
  writeSync(1, 'done\n')
  await doc.close()
} else {
  for (;;) {
    number++
    map.set(`k${number}`, number)
    text.insert(text.length, `${number};`)
    list.push(number)
    await doc.saved()
    writeSync(1, `${number}\n`)
  }
}
