import type { Random } from '../peer/random.js'
import type { HandlesPeer } from './handles-peer.js'

const WORDS = ['a', 'lorem ', '😀', 'wörld', '\ud83d', '\ude00', 'x\ud83dy', '👍🏽', '', 'a longer run of characters']
const KEYS = ['title', 'a/b', 'ünïcode', '__proto__', 'n']

type Peer = Pick<HandlesPeer, 'map' | 'text' | 'list' | 'handles'>

/** One edit of whatever kind. Throws when the text is not what a plain string would be. */
export function randomEdit (random: Random, peer: Peer): void {
  const kind = random.below(20)
  if (kind === 0) peer.handles.transact(() => { for (let i = random.below(4); i >= 0; i--) randomEdit(random, peer) })
  else if (kind < 6) mapEdit(random, peer)
  else if (kind < 12) listEdit(random, peer)
  else textEdit(random, peer)
}

function mapEdit (random: Random, { map }: Peer): void {
  const key = random.pick(KEYS)
  switch (random.below(5)) {
    case 0: map.delete(key); break
    case 1: map.update(key, (value) => typeof value === 'number' ? value + 1 : 0); break
    case 2: map.setAll({ [key]: random.pick(WORDS), other: [random.below(9)] }); break
    default: map.set(key, { word: random.pick(WORDS), n: random.below(100) })
  }
}

function listEdit (random: Random, { list }: Peer): void {
  const ids = list.ids()
  const id = ids.length === 0 ? '00'.repeat(16) : random.pick(ids)
  const other = ids.length === 0 ? id : random.pick(ids)
  switch (random.below(13)) {
    case 0: list.delete(id); break
    case 1: list.move(id, random.below(8)); break
    case 2: list.update(id, random.below(100)); break
    case 3: list.pushAll([random.below(9), random.below(9)]); break
    case 4: list.insertAfter(id, random.below(100)); break
    case 5: list.insertBefore(id, random.below(100)); break
    case 6: list.gestures.dropOnto(id, other); break
    case 7: list.gestures.dropBetween(id, random.chance(0.5) ? other : null, random.chance(0.5) ? random.pick([id, other]) : null); break
    case 8: list.gestures.swap(id, other); break
    case 9: random.chance(0.5) ? list.gestures.dropBefore(id, other) : list.gestures.dropAfter(id, other); break
    case 10: if (random.chance(0.1)) list.clear(); break
    default: list.insert(random.below(8), random.below(100))
  }
}

/** A text is what a plain string would be, with U+FFFD for lone surrogates. */
function textEdit (random: Random, { text }: Peer): void {
  const before = text.toString()
  const from = random.below(before.length + 2)
  const count = random.chance(0.5) ? 0 : random.below(random.chance(0.1) ? 30 : 4)
  const word = random.pick(WORDS)
  const model = (before.slice(0, from) + word + before.slice(from + count)).replace(/\p{Cs}/gu, '\ufffd')
  if (count === 0) text.insert(from, word)
  else if (random.chance(0.5)) text.replace(from, from + count, word)
  else text.apply([{ position: from, deleted: count, inserted: word }])
  const after = text.toString()
  if (after !== model || text.length !== model.length) throw new Error(`expected ${JSON.stringify(model)} but found ${JSON.stringify(after)}`)
  const cut = [random.below(after.length + 1), random.below(after.length + 1)].sort((a, b) => a - b)
  if (text.slice(cut[0], cut[1]) !== after.slice(cut[0], cut[1])) throw new Error('a slice differs')
}
