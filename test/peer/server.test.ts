import t from 'tap'
import { once } from 'node:events'
import { WebSocket } from 'ws'
import { startServer } from './server.js'

const HELLO = '{"type":"hello","pubkey":"ab","room":"r"}'

t.test('CL-19 closing ends at once, also while clients are connected, idle, silent or just connecting', async (t) => {
  for (let turns = 0; turns < 6; turns++) {
    const server = await startServer()
    const open = (): WebSocket => new WebSocket(`${server.url}/ws/r`).on('error', () => {})
    const [silent, live] = [open(), open()]
    await Promise.all([once(silent, 'open'), once(live, 'open')])
    live.send(HELLO)
    await once(live, 'message')
    const late = [open(), open()]
    const ends = Promise.all([silent, live, ...late].map(async (socket) => await new Promise((resolve) => { socket.on('close', resolve) })))
    for (let i = 0; i < turns; i++) await new Promise(setImmediate)
    const deadline = new Promise((resolve) => { setTimeout(resolve, 3000, 'too late').unref() })
    t.equal(await Promise.race([server.close().then(() => 'closed'), deadline]), 'closed', `${turns} turns after the last connections began`)
    await ends
  }
})
