import { take, writeVarint, writer } from '../../lib/protocol/postcard.js'
import { clientFrame } from './channel.js'
import type { Corpus } from './corpus.js'

/** `pack` frames as a client sends them, one after the other: frame `i` ends at `ends[i]` and holds the nodes up to `nodes[i]`. */
export interface Frames { bytes: Uint8Array, ends: Float64Array, nodes: Uint32Array }

/** The nodes `[from, to)` of a corpus in frames of `perPack` nodes, masked and ready to be written. */
export function packFrames ({ bytes, ends }: Corpus, from: number, to: number, perPack: number): Frames {
  const made: Buffer[] = []
  const nodes: number[] = []
  for (let at = from; at < to; at += perPack) {
    const last = Math.min(to, at + perPack)
    const w = writer(10)
    writeVarint(w, last - at)
    const pack = Buffer.concat([take(w), bytes.subarray(at === 0 ? 0 : ends[at - 1], ends[last - 1])])
    made.push(clientFrame(Buffer.from(`{"type":"pack","nodes":"${pack.toString('base64')}"}`)))
    nodes.push(last - from)
  }
  const frameEnds = new Float64Array(made.length)
  let total = 0
  made.forEach((frame, i) => { frameEnds[i] = total += frame.length })
  return { bytes: Buffer.concat(made), ends: frameEnds, nodes: Uint32Array.from(nodes) }
}

/** The frames `[from, to)` as one piece. */
export function framesBetween ({ bytes, ends }: Frames, from: number, to: number): Uint8Array {
  return bytes.subarray(from === 0 ? 0 : ends[from - 1], ends[to - 1])
}

const PACK = '{"type":"pack",'
const ACK = '{"type":"pack-ack",'
const ERROR = '{"type":"error",'
const NODES = Buffer.from('"nodes":"')

const startsWith = (head: Buffer, text: string): boolean => {
  for (let i = text.length - 1; i >= 0; i--) if (head[i] !== text.charCodeAt(i)) return false
  return true
}

/** How many nodes a frame brings; 0 for a frame that is no pack. Throws for an error: a bench of refusals measures nothing. */
export function nodesIn (head: Buffer): number {
  if (!startsWith(head, PACK)) {
    if (startsWith(head, ERROR)) throw new Error(head.toString())
    return 0
  }
  const at = head.indexOf(NODES)
  const bytes = Buffer.from(head.toString('latin1', at + NODES.length, at + NODES.length + 8), 'base64')
  let count = 0
  for (let i = 0, scale = 1; i < bytes.length; i++, scale *= 128) {
    count += (bytes[i] & 0x7f) * scale
    if (bytes[i] < 0x80) break
  }
  return count
}

/** How many nodes a `pack-ack` accepts; 0 for other frames. Throws for a refusal or an error. */
export function acceptedBy (head: Buffer): number {
  if (!startsWith(head, ACK)) {
    if (startsWith(head, ERROR)) throw new Error(head.toString())
    return 0
  }
  const text = head.toString('latin1')
  if (!text.includes('"rejected_count":0')) throw new Error(text)
  return Number(/"accepted_count":(\d+)/.exec(text)?.[1])
}
