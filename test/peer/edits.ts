import { readOps, scanNode } from '../../lib/protocol/node.js'
import type { Anchor, MapOp, Op, OpId } from '../../lib/protocol/op.js'
import { cursor, utf8Encode } from '../../lib/protocol/postcard.js'
import type { Peer } from '../../lib/testing/peer.js'
import type { Random } from './random.js'

const KEYS = ['title', 'notes/a', 'notes/b', 'world/1', 'ünïcode/☃']
const POSITIONS = ['V', 'V', 'F', 'k', 'VV', 'z1']
const WORDS = ['a', 'lorem ', 'ipsum', '😀', 'wörld', 'a longer run of characters that is typed in one go ']

/** The operations of one node: a few keys shared by everyone, so that conflicts are the rule. At most one list or text operation. */
export function randomOps (random: Random, peer: Peer): Op[] {
  const kind = random.below(10)
  if (kind < 5) return Array.from({ length: random.below(3) + (random.chance(0.02) ? 0 : 1) }, () => mapOp(random))
  if (kind < 7) return [listOp(random, peer)]
  return [textOp(random, peer), ...(random.chance(0.2) ? [mapOp(random)] : [])]
}

function mapOp (random: Random): MapOp {
  const key = random.pick(KEYS)
  const kind = random.below(8)
  if (kind === 0) return { type: 'map-delete', key }
  if (kind === 1) return { type: 'map-set-blob', key, hash: random.bytes(32) }
  return { type: 'map-set', key, value: kind === 2 ? random.bytes(random.below(40)) : utf8Encode(JSON.stringify(random.pick(WORDS))) }
}

function listOp (random: Random, peer: Peer): Op {
  const key = random.pick(['list', 'todo'])
  const known = opsOf(random, peer).flatMap((op) => op.type === 'list-insert' && op.key === key ? [op.item] : [])
  if (known.length === 0 || random.chance(0.5)) return { type: 'list-insert', key, item: random.bytes(16), position: random.pick(POSITIONS) }
  const item = random.pick(known)
  return random.chance(0.3) ? { type: 'list-delete', key, item } : { type: 'list-move', key, item, position: random.pick(POSITIONS) }
}

function textOp (random: Random, peer: Peer): Op {
  const key = random.pick(['doc', 'doc2'])
  const anchor = randomAnchor(random, charsOf(random, peer, key))
  if (random.chance(0.3)) return { type: 'text-delete-range', key, anchor: anchor.at === 'end' ? { at: 'start' } : anchor, count: random.below(6) }
  if (random.chance(0.1)) return { type: 'text-insert', key, after: anchor.at === 'after' ? anchor.id : null, char: '☃' }
  return { type: 'text-insert-range', key, anchor, text: random.pick(WORDS) }
}

function randomAnchor (random: Random, chars: OpId[]): Anchor {
  const kind = random.below(6)
  if (kind === 0) return { at: 'start' }
  if (kind === 1) return { at: 'end' }
  if (kind === 2) return { at: 'offset', offset: random.below(20) }
  return chars.length === 0 ? { at: 'start' } : { at: 'after', id: random.pick(chars) }
}

/** The operations of a few random nodes that the peer knows: what an edit can refer to. */
function opsOf (random: Random, peer: Peer): Op[] {
  const nodes = [...peer.nodes()]
  return Array.from({ length: Math.min(8, nodes.length) }, () => random.pick(nodes)).flatMap((node) => readOps(scanNode(cursor(node))))
}

function charsOf (random: Random, peer: Peer, key: string): OpId[] {
  const nodes = [...peer.nodes()]
  return Array.from({ length: Math.min(8, nodes.length) }, () => random.pick(nodes)).flatMap((bytes) => {
    const node = scanNode(cursor(bytes))
    const author = bytes.subarray(32, 64)
    return readOps(node).flatMap((op) => op.type === 'text-insert-range' && op.key === key
      ? [{ lamport: node.lamport + random.below([...op.text].length), author }]
      : [])
  })
}
