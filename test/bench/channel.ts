import { randomBytes } from 'node:crypto'
import { type Socket, connect } from 'node:net'

/**
 * A WebSocket client that costs the load generator as little as possible: it writes frames that were made beforehand and looks only at
 * the beginning of what it receives, so that what is measured is the server and not the client beside it on the same machine.
 */
export interface Channel {
  /** Bytes received since the upgrade. */
  readonly received: number
  /** Writes client frames as they are, any number of them. */
  write (frames: Uint8Array): void
  /** Drops the connection; `onEnd` is not called. */
  close (): void
}

export interface Listeners {
  /** A text frame is complete: its first bytes (at most HEAD of them) and its length. What this throws ends the connection. */
  onFrame (head: Buffer, length: number): void
  /** Everything that arrived at once has been handed over. */
  onBatch? (): void
  /** The server ended the connection, or it broke. */
  onEnd (reason: Error): void
}

/** As much of a frame as anybody here looks at. */
const HEAD = 4096
const EMPTY: Buffer = Buffer.alloc(0)
const PONG = Buffer.from([0x8a, 0x80, 0, 0, 0, 0])

/** Opens a WebSocket to a port of this machine. */
export function openChannel (port: number, path: string, listeners: Listeners): Promise<Channel> {
  const socket = connect(port, '127.0.0.1')
  socket.setNoDelay(true)
  let before = 0
  let open = true
  const end = (reason: Error): void => {
    if (open) listeners.onEnd(reason)
    open = false
    socket.destroy()
  }
  const channel: Channel = {
    get received () { return socket.bytesRead - before },
    write: (frames) => { socket.write(frames) },
    close () {
      open = false
      socket.destroy()
    }
  }
  return new Promise((resolve, reject) => {
    socket.on('error', (error) => { reject(error); end(error) })
    socket.on('close', () => end(new Error('the connection was lost')))
    upgrade(socket, path, (rest) => {
      const parse = createParser(socket, listeners, end)
      before = socket.bytesRead - rest.length
      const take = (chunk: Buffer): void => {
        try {
          parse(chunk)
          listeners.onBatch?.()
        } catch (error) {
          end(error as Error)
        }
      }
      socket.on('data', take)
      resolve(channel)
      if (rest.length > 0) take(rest)
    }, reject)
  })
}

function upgrade (socket: Socket, path: string, done: (rest: Buffer) => void, failed: (reason: Error) => void): void {
  let answer = EMPTY
  const key = randomBytes(16).toString('base64')
  socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`)
  socket.on('data', function read (chunk: Buffer) {
    answer = Buffer.concat([answer, chunk])
    const end = answer.indexOf('\r\n\r\n')
    if (end < 0) return
    socket.off('data', read)
    const [status] = answer.toString('latin1').split('\r\n', 1)
    if (status.startsWith('HTTP/1.1 101')) done(answer.subarray(end + 4))
    else failed(new Error(`no upgrade: ${status}`))
  })
}

interface Header { opcode: number, length: number, size: number }

/** The header of an unmasked frame, or null when it is not all there. */
function readHeader (bytes: Buffer, at: number): Header | null {
  const left = bytes.length - at
  if (left < 2) return null
  const opcode = bytes[at] & 0x0f
  const short = bytes[at + 1] & 0x7f
  if (short < 126) return { opcode, length: short, size: 2 }
  if (short === 126) return left < 4 ? null : { opcode, length: bytes.readUInt16BE(at + 2), size: 4 }
  return left < 10 ? null : { opcode, length: bytes.readUInt32BE(at + 2) * 2 ** 32 + bytes.readUInt32BE(at + 6), size: 10 }
}

function createParser (socket: Socket, listeners: Listeners, end: (reason: Error) => void): (chunk: Buffer) => void {
  let rest = EMPTY
  let frame: Header | null = null
  let head = EMPTY
  let left = 0

  function deliver ({ opcode, length }: Header): void {
    if (opcode === 1) listeners.onFrame(head, length)
    else if (opcode === 9) socket.write(PONG)
    else if (opcode === 8) end(new Error(`closed: ${head.length < 2 ? 'no code' : `${head.readUInt16BE(0)} ${head.toString('utf8', 2)}`}`))
  }

  return (chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    rest = EMPTY
    for (let at = 0; at < bytes.length;) {
      if (frame === null) {
        frame = readHeader(bytes, at)
        if (frame === null) {
          rest = bytes.subarray(at)
          return
        }
        at += frame.size
        left = frame.length
        head = EMPTY
      }
      const taken = Math.min(left, bytes.length - at)
      const wanted = Math.min(taken, HEAD - head.length)
      if (wanted > 0) head = head.length === 0 ? bytes.subarray(at, at + wanted) : Buffer.concat([head, bytes.subarray(at, at + wanted)])
      at += taken
      left -= taken
      if (left > 0) return
      const whole = frame
      frame = null
      deliver(whole)
    }
  }
}

const MASK = [0x5a, 0x3c, 0x96, 0x71]

/** A masked text frame, as a client has to send it. */
export function clientFrame (payload: Uint8Array): Buffer {
  const { length } = payload
  const size = length < 126 ? 6 : length < 65_536 ? 8 : 14
  const frame = Buffer.allocUnsafe(size + length)
  frame[0] = 0x81
  if (size === 6) {
    frame[1] = 0x80 | length
  } else if (size === 8) {
    frame[1] = 0x80 | 126
    frame.writeUInt16BE(length, 2)
  } else {
    frame[1] = 0x80 | 127
    frame.writeUInt32BE(Math.floor(length / 2 ** 32), 2)
    frame.writeUInt32BE(length >>> 0, 6)
  }
  frame.set(MASK, size - 4)
  for (let i = 0; i < length; i++) frame[size + i] = payload[i] ^ MASK[i & 3]
  return frame
}
