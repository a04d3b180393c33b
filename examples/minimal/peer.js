// A scripted peer: joins a room, writes a title, waits until it is durable, leaves.
// URL=ws://127.0.0.1:3000 node examples/minimal/peer.js
import { WebSocket } from 'ws'
import { connectPeer, createPeer, loadBlake3 } from 'nodalmerge/testing'

const { URL: url } = process.env
const peer = createPeer({ blake3: await loadBlake3() })
const connection = connectPeer({ peer, room: 'plans', open: () => new WebSocket(`${url}/ws/plans`) })
await connection.synced()
connection.write([{ type: 'text-insert-range', key: 'title', anchor: { at: 'start' }, text: 'Hello from a peer' }])
await connection.synced()
console.log(`${peer.size} node(s) in the room, root ${peer.root.slice(0, 8)}`)
connection.close()
