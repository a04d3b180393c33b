import { WebSocket } from 'ws'
import type { WebSocketClass, WebSocketLike } from '../../lib/client/socket.js'
import { fromBase64, toBase64 } from '../../lib/protocol/base64.js'
import { bytesOf } from '../../lib/protocol/node.js'
import { encodePack, scanPack } from '../../lib/protocol/pack.js'

/**
 * Sockets of a client that is shown the nodes of others only when it is told to, one by one, so that it writes on what the author of a
 * recording had seen and not on what happens to be there already. Everything else passes at once.
 */
export interface Gate {
  readonly Socket: WebSocketClass
  /** Nodes the client sent that the server has acknowledged. */
  readonly acknowledged: number
  /** Shows the client the first `count` nodes of others; resolves when they were handed over. */
  admit (count: number): Promise<void>
}

interface Frame { type: string, id?: number, nodes?: string, rejected_count?: number }

export function createGate (): Gate {
  const held: Uint8Array[] = []
  const sent = new Map<number, number>()
  let acknowledged = 0
  let shown = 0
  let show = (_: readonly Uint8Array[]): void => {}
  let arrived = (): void => {}

  /** Whether a frame of the server goes through as it is. */
  function passes ({ type, id = 0, nodes = '', rejected_count: refused = 0 }: Frame): boolean {
    if (type === 'pack') {
      for (const node of scanPack(fromBase64(nodes))) held.push(bytesOf(node))
      arrived()
      return false
    }
    if (type === 'pack-ack') acknowledged += (sent.get(id) ?? 0) - refused
    return true
  }

  class Socket extends WebSocket {
    constructor (url: string) {
      super(url, { perMessageDeflate: false })
      show = (nodes) => { this.emit('message', JSON.stringify({ type: 'pack', nodes: toBase64(encodePack(nodes)) }), false) }
    }

    override emit (event: string | symbol, ...values: unknown[]): boolean {
      if (event === 'message' && Buffer.isBuffer(values[0]) && !passes(JSON.parse(String(values[0])) as Frame)) return true
      return super.emit(event, ...values)
    }

    override send (text: unknown): void {
      const { type, id = 0, nodes = '' } = JSON.parse(String(text)) as Frame
      if (type === 'pack') sent.set(id, scanPack(fromBase64(nodes)).length)
      super.send(String(text))
    }
  }

  return {
    Socket: Socket as unknown as new (url: string) => WebSocketLike,
    get acknowledged () { return acknowledged },
    async admit (count) {
      while (shown + held.length < count) await new Promise<void>((resolve) => { arrived = resolve })
      const nodes = held.splice(0, count - shown)
      shown += nodes.length
      if (nodes.length > 0) show(nodes)
    }
  }
}
