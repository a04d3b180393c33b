import type { Dag } from '../dag/dag.js'
import { toHex } from '../protocol/hex.js'
import type { SentMessage } from '../protocol/server-message.js'
import { take, writeVarint, writer } from '../protocol/postcard.js'
import type { SharedFrames } from './shared-frames.js'

/** A run of nodes in a dag, `from` included, `to` not. */
export type Run = readonly [from: number, to: number]

/** A message as the bytes of a text frame. */
export function frame (message: SentMessage): Uint8Array {
  return Buffer.from(JSON.stringify(message))
}

/**
 * A `pack` frame around encoded nodes (spec/session-protocol.md §2.3). Built in place: the nodes' base64 never goes through
 * `JSON.stringify`.
 */
export function packFrame (label: string, count: number, nodes: readonly Uint8Array[], root: Uint8Array | null): Uint8Array {
  const w = writer(10)
  writeVarint(w, count)
  const pack = Buffer.concat([take(w), ...nodes]).toString('base64')
  const head = `{"type":"pack","from":${JSON.stringify(label)},"nodes":"`
  const tail = root === null ? '"}' : `","root":"${toHex(root)}"}`
  const headLength = Buffer.byteLength(head)
  const whole = Buffer.allocUnsafe(headLength + pack.length + tail.length)
  whole.write(head, 0, 'utf8')
  whole.write(pack, headLength, 'latin1')
  whole.write(tail, headLength + pack.length, 'latin1')
  return whole
}

/**
 * The nodes of `runs` as frames of at most `frameBytes` of base64 each, in order; a node that alone is larger has a frame of its own
 * (design §5 row 13). Every frame is importable on its own after the ones before it. `root` goes into the last one. Full frames are
 * taken from and given to `shared`, which belongs to one label and one size.
 */
export function * packFrames (
  dag: Dag, runs: Iterable<Run>, label: string, frameBytes: number, root: Uint8Array | null, shared?: SharedFrames
): Generator<Uint8Array> {
  const budget = Math.floor(frameBytes / 4) * 3
  let parts: Uint8Array[] = []
  let count = 0
  let size = 0
  for (const [from, to] of runs) {
    let start = from
    for (let i = from; i < to; i++) {
      const length = dag.length(i)
      if (count > 0 && size + length > budget) {
        const alone = count === i - start
        if (i > start) parts.push(...dag.slices(start, i))
        const frame = packFrame(label, count, parts, null)
        if (alone) shared?.put(start, { to: i, bytes: frame })
        yield frame
        parts = []
        count = 0
        size = 0
        start = i
      }
      const made = count === 0 ? shared?.get(i) : undefined
      if (made !== undefined && made.to < to) {
        yield made.bytes
        start = made.to
        i = made.to - 1
        continue
      }
      count++
      size += length
    }
    if (to > start) parts.push(...dag.slices(start, to))
  }
  if (count > 0) yield packFrame(label, count, parts, root)
}
