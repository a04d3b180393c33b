import t from 'tap'
import fc from 'fast-check'
import { utf8Encode } from '../../lib/protocol/postcard.js'
import { createMap } from '../../lib/client/map.js'
import { createTyping } from '../../lib/client/typing.js'
import { createWorkspace } from '../../lib/client/workspace.js'
import type { MapEvent, TextEvent, ListEvent } from '../../lib/client/event.js'
import { createText } from '../../lib/state/text.js'
import { bytes, written } from '../state/nodes.js'
import { createMemoryCore } from './handles-core.js'
import { createPeer, exchange } from './handles-peer.js'
import { checks, read } from './handles-types.js'

const types = (peer: ReturnType<typeof createPeer>, from = 0) => peer.core.written.slice(from).map(({ ops }) => ops.map(({ type }) => type))

t.test('HD-1 a map keeps JSON under its namespace and lists what is there', async (t) => {
  const { handles, core, map } = createPeer()
  map.set('title', 'Plan')
  map.setAll({ dark: true, n: [1, { two: null }] })
  handles.map('').set('top', 1)
  handles.map('map/').set('title', 'Other')
  t.same(core.written.map(({ ops }) => ops.map(({ key }) => key)), [['map/title'], ['map/dark', 'map/n'], ['top'], ['map/title']])
  t.same(map.all(), { title: 'Other', dark: true, n: [1, { two: null }] })
  t.same([map.get('title'), map.get('none'), map.has('dark'), map.has('none'), map.size], ['Other', undefined, true, false, 3])
  t.same([map.keys().sort(), map.entries().length], [['dark', 'n', 'title'], 3])
  t.same([handles.map('').size, handles.map('').keys().sort()], [4, ['map/dark', 'map/n', 'map/title', 'top']])
  t.equal(map.delete('n'), true)
  t.equal(map.delete('n'), false, 'there is nothing to delete')
  map.update('count', (value) => typeof value === 'number' ? value + 1 : 0)
  map.update('count', (value) => typeof value === 'number' ? value + 1 : 0)
  t.equal(map.get('count'), 1)
})

t.test('HD-2 values of every client are read: blobs, JSON, text, bytes', async (t) => {
  const { handles, core, map } = createPeer()
  const raw = handles.map('')
  core.receive([written(9, 9, 1,
    { type: 'map-set', key: 'map/text', value: utf8Encode('not { json') },
    { type: 'map-set', key: 'map/number', value: utf8Encode('12') },
    { type: 'map-set', key: 'map/bytes', value: Uint8Array.of(255, 0) },
    { type: 'map-set', key: 'map/bom', value: Uint8Array.of(0xef, 0xbb, 0xbf, 0x61) },
    { type: 'map-set-blob', key: 'map/blob', hash: bytes(7) },
    { type: 'map-set', key: '\0e2ee', value: Uint8Array.of(1) })])
  t.same(map.all(), { text: 'not { json', number: 12, bytes: Uint8Array.of(255, 0), bom: '\ufeffa', blob: { hash: '07'.repeat(32) } })
  t.same([map.blob('blob'), map.blob('text')], ['07'.repeat(32), undefined])
  t.equal(raw.size, 5, 'reserved keys are not shown')
  map.set('raw', 'as it is', { encoding: 'utf8' })
  map.set('more', new Uint8Array([254]) as never, { encoding: 'bytes' })
  t.same([map.get('raw'), map.get('more')], ['as it is', Uint8Array.of(254)])
  t.same(core.views.document.map.get('map/raw'), utf8Encode('as it is'))
})

t.test('HD-3 wrong keys and values are refused before anything is written', async (t) => {
  const { handles, core, map, list } = createPeer()
  t.throws(() => map.set(7 as never, 1), TypeError)
  t.throws(() => map.set('\ud800', 1), RangeError)
  t.throws(() => handles.map('').set('\0e2ee', 1), RangeError)
  t.throws(() => handles.map('\0'), RangeError)
  t.throws(() => handles.text(null as never), TypeError)
  t.throws(() => handles.list('\udc00'), RangeError)
  for (const value of [undefined, () => {}, Symbol('s'), 1n, new Uint8Array(2)]) t.throws(() => map.set('k', value as never), TypeError)
  t.throws(() => map.set('k', 1, { encoding: 'utf8' }), TypeError)
  t.throws(() => map.set('k', 'x', { encoding: 'bytes' }), TypeError)
  t.throws(() => map.set('k', 'x', { encoding: 'xml' as never }), RangeError)
  t.throws(() => map.setAll({ a: 1, b: undefined as never }), TypeError)
  t.throws(() => map.setAll(null as never), TypeError)
  t.throws(() => list.insert(-1, 1), RangeError)
  t.throws(() => list.insert(0.5, 1), RangeError)
  t.throws(() => list.insert('0' as never, 1), TypeError)
  t.throws(() => list.move('00'.repeat(16), -1), RangeError)
  t.throws(() => list.get(1 as never), TypeError)
  t.throws(() => list.delete('abc'), RangeError)
  t.throws(() => list.push(undefined as never), TypeError)
  t.throws(() => list.pushAll('ab' as never), TypeError)
  t.equal(core.written.length, 0)
  map.set('\ud83d\ude00', '\ud800')
  t.same(map.all(), { '\ud83d\ude00': '\ud800' }, 'JSON carries lone surrogates')
})

t.test('HD-4 a blob is kept first and named then, with the origin of the call', async (t) => {
  const kept = new Map<string, Uint8Array>()
  const blobs = {
    async put (data: unknown) {
      kept.set('07'.repeat(32), data as Uint8Array)
      return '07'.repeat(32)
    },
    async get (hash: string) { return kept.get(hash) }
  }
  const { handles, map, events } = createPeer(1, { blobs })
  const done = handles.transact(() => map.setBlob('image', Uint8Array.of(1, 2), { contentType: 'image/png' }), { origin: 'paste' })
  t.equal(map.has('image'), false)
  t.equal(await done, '07'.repeat(32))
  t.same(await map.getBlob('image'), Uint8Array.of(1, 2))
  t.equal(await map.getBlob('none'), undefined)
  t.same(events.map(({ origin, maps: [{ op, value }] }) => [origin, op, value]), [['paste', 'blob', { hash: '07'.repeat(32) }]])
  await t.rejects(createPeer(1, { blobs: { ...blobs, put: async () => 'abc' } }).map.setBlob('image', Uint8Array.of(1)), TypeError)
  await t.rejects(createPeer().map.setBlob('image', Uint8Array.of(1)), TypeError)
})

t.test('HD-5 shapes are checked by the compiler', async (t) => {
  t.ok(checks.every((check) => check))
  t.same(read, [undefined, undefined, undefined, undefined])
})

t.test('HD-6 a handle hears of its own changes only, and only when something changed', async (t) => {
  const [one, two] = [createPeer(1), createPeer(2)]
  const heard: MapEvent[] = []
  const nested: MapEvent[] = []
  const all: MapEvent[] = []
  const texts: TextEvent[] = []
  const lists: ListEvent[] = []
  one.map.observe((event) => heard.push(event))
  one.handles.map('map/deep').observe((event) => nested.push(event))
  one.handles.map('').observe((event) => all.push(event))
  one.text.observe((event) => texts.push(event))
  const stop = one.list.observe((event) => lists.push(event))
  two.handles.map('other').set('x', 1)
  two.handles.text('other').insert(0, 'x')
  two.handles.list('other').push(1)
  exchange(two, one)
  t.same([heard.length, nested.length, texts.length, lists.length, all.length], [0, 0, 0, 0, 1])
  one.map.set('x', 1)
  one.map.set('x', 1)
  one.map.set('deep/y', 2)
  t.same(heard.map(({ source, changes }) => [source, changes.map(({ path, key, op, value, old }) => [path, key, op, value, old])]), [
    ['local', [['map/x', 'x', 'set', 1, undefined]]],
    ['local', [['map/deep/y', 'deep/y', 'set', 2, undefined]]]
  ])
  t.same(nested.map(({ changes }) => changes.map(({ key }) => key)), [['y']])
  two.map.set('z', 1)
  exchange(one, two)
  one.map.delete('z')
  t.same(heard.slice(2).map(({ source, changes: [{ op, old }] }) => [source, op, old]), [['remote', 'set', undefined], ['local', 'delete', 1]])
  const [a, b] = one.list.pushAll(['a', 'b'])
  one.list.move(b, 1)
  one.list.update(a, 'A')
  one.list.move(a, 1)
  one.handles.transact(() => {
    one.list.move(a, 0)
    one.list.move(a, 1)
  })
  one.list.delete(a)
  t.same(lists.map(({ inserted, deleted, updated, reordered }) => [inserted, deleted, updated, reordered]), [
    [[a, b], [], [], false], [[], [], [a], false], [[], [], [], true], [[], [a], [], false]
  ])
  stop()
  stop()
  one.list.clear()
  t.equal(lists.length, 4)
})

t.test('HD-7 a transaction makes one event and groups what the format lets it', async (t) => {
  const peer = createPeer()
  const { handles, map, text, list, events } = peer
  const result = handles.transact(() => {
    map.set('a', 1)
    text.insert(0, 'hello')
    map.set('a', 2)
    const id = list.push('item')
    list.update(id, 'changed')
    map.set('b', 3)
    map.delete('b')
    handles.transact(() => map.set('c', 4), { origin: 'ignored' })
    t.same([map.get('a'), map.get('c'), map.has('b'), text.toString(), list.get(id), map.keys().sort()], [2, 4, false, 'hello', 'changed', ['a', 'c']], 'reads see it at once')
    return 'result'
  }, { origin: 'me' })
  t.equal(result, 'result')
  t.same(types(peer), [['list-insert', 'map-set'], ['text-insert', 'text-insert-range'], ['map-set', 'map-set', 'map-delete', 'map-set']])
  t.same(events.map(({ source, origin, maps, texts, lists }) => ({ source, origin, maps: maps.map(({ key }) => key), texts, lists: lists.map(({ key }) => key) })), [
    { source: 'local', origin: 'me', maps: ['a', 'c'], texts: [{ key: 'text', splices: [{ position: 0, deleted: 0, inserted: 'hello' }] }], lists: ['list'] }
  ])
  t.throws(() => handles.transact(() => {
    map.set('kept', true)
    throw new Error('mine')
  }), /mine/)
  t.equal(map.get('kept'), true, 'what was written before it threw stays')
  handles.transact(() => {})
  t.equal(events.length, 2, 'nothing happened, nothing is told')
})

t.test('HD-8 nodes of a large transaction stay small', async (t) => {
  const peer = createPeer()
  peer.map.setAll(Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`k${i}`, 'x'.repeat(2000)])))
  t.equal(peer.core.written.length, 5)
  t.equal(peer.map.size, 50)
  t.equal(peer.events.length, 1)
  const long = 'a' + '😀'.repeat(6000)
  peer.text.insert(0, long)
  t.same(types(peer, 5).map(({ length }) => length), [2, 2], 'a run is cut between pairs')
  t.equal(peer.text.toString(), long)
  peer.text.replace(0, Infinity, 'b')
  t.same(types(peer, 7).map(({ length }) => length), [...Array.from({ length: 12 }, () => 500), 2])
  t.equal(peer.core.views.document.text('text').toString(), 'b')
})

t.test('HD-9 events come one after the other, and a listener that throws harms nobody', async (t) => {
  const { map, handles, errors } = createPeer()
  const order: string[] = []
  map.observe(({ changes }) => {
    if (changes[0].key === 'first') map.set('second', 1)
    order.push(`a ${changes[0].key}`)
    throw new Error('mine')
  })
  map.observe(({ changes }) => order.push(`b ${changes[0].key}`))
  const stop = handles.onChange(({ maps }) => order.push(`all ${maps[0].key}`))
  map.set('first', 1)
  t.same(order, ['a first', 'b first', 'all first', 'a second', 'b second', 'all second'])
  t.equal(errors.length, 2)
  stop()
  map.set('third', 1)
  t.equal(order.at(-1), 'b third')
})

t.test('HD-10 what a listener throws is thrown where it is seen', async (t) => {
  const workspace = createWorkspace(createMemoryCore(1))
  const map = createMap(workspace, 'map')
  map.observe(() => { throw new Error('mine') })
  const seen = new Promise<unknown>((resolve) => {
    const listeners = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.once('uncaughtException', (error) => {
      for (const listener of listeners) process.on('uncaughtException', listener)
      resolve(error)
    })
  })
  map.set('k', 1)
  t.match(await seen, { message: 'mine' })
  t.throws(() => workspace.put('k', { value: undefined, blob: false }), 'handles write inside transactions')
  t.throws(() => workspace.type('k', { position: 0, deleted: 0, inserted: 'x' }), 'handles write inside transactions')
  t.equal(workspace.randomBytes(16).length, 16)
})

t.test('HD-11 typing shows at once and becomes a node per run when the time has come', async (t) => {
  const peer = createPeer()
  const { text, clock } = peer
  for (const [i, char] of [...'hello'].entries()) text.insert(i, char)
  t.equal(peer.core.written.length, 0)
  t.same([text.toString(), peer.handles.unflushed], ['hello', true])
  clock.advance(20)
  t.equal(peer.handles.unflushed, false)
  t.same(types(peer), [['text-insert', 'text-insert-range']])
  text.insert(5, '!')
  text.delete(0, 2)
  clock.advance(19)
  t.equal(peer.core.written.length, 1)
  clock.advance(1)
  t.same(types(peer, 1), [['text-delete', 'text-delete', 'text-insert']])
  t.same([text.toString(), peer.core.views.document.text('text').toString()], ['llo!', 'llo!'])
  text.insert(0, 'x')
  text.delete(0)
  clock.advance(20)
  t.equal(peer.core.written.length, 2, 'what came and went is no node')
  t.equal(clock.pending, 0)
})

t.test('HD-12 typing is flushed when there is much of it, before nodes of others and before other writes', async (t) => {
  const [peer, other] = [createPeer(1), createPeer(2)]
  const { text, core, handles } = peer
  text.insert(0, 'x'.repeat(4097))
  t.equal(core.written.length, 1)
  for (let i = 0; i < 65; i++) text.insert(i * 3, 'y')
  t.equal(core.written.length, 66, 'each place is a run')
  text.insert(0, 'z')
  peer.map.set('k', 1)
  t.same(types(peer, 66), [['text-insert'], ['map-set']])
  text.insert(0, 'z')
  handles.text('second').insert(0, 'z')
  t.equal(core.written.length, 69, 'one text is typed in at a time')
  handles.transact(() => handles.text('second').insert(1, 'z'), { origin: 'editor' })
  handles.transact(() => handles.text('second').insert(2, 'z'), { origin: 'editor' })
  t.equal(core.written.length, 70, 'typing goes on with the same origin only')
  other.map.set('k', 2)
  other.handles.flush()
  core.receive(other.core.written)
  t.equal(core.written.length, 71)
  const eager = createPeer(3, { flushMs: 0 })
  eager.text.insert(0, 'a')
  t.equal(eager.core.written.length, 1)
  t.equal(eager.clock.pending, 0)
})

t.test('HD-13 a run stays together where its neighbour is deleted at the same time', async (t) => {
  const [one, two] = [createPeer(1), createPeer(2)]
  one.text.insert(0, 'ab\ncd')
  exchange(one, two)
  two.text.insert(2, 'typed')
  one.text.delete(0, 2)
  exchange(one, two)
  t.same([one.text.toString(), two.text.toString()], ['typed\ncd', 'typed\ncd'])
  t.same(types(two), [['text-insert', 'text-insert-range']])
})

t.test('HD-14 positions are UTF-16 units and are checked', async (t) => {
  const { text, core, events } = createPeer()
  text.insert(99, 'a😀b')
  t.same([text.length, text.slice(1, 3), text.slice(3), text.slice(3, 1)], [4, '😀', 'b', ''])
  for (const wrong of [-1, NaN, 0.5, -Infinity]) {
    t.throws(() => text.insert(wrong, 'x'), RangeError)
    t.throws(() => text.delete(0, wrong), RangeError)
    t.throws(() => text.slice(wrong), RangeError)
    t.throws(() => text.anchor(wrong), RangeError)
  }
  t.throws(() => text.insert('0' as never, 'x'), TypeError)
  t.throws(() => text.insert(0, 5 as never), TypeError)
  t.throws(() => text.replace(2, 1, 'x'), RangeError)
  t.throws(() => text.apply('x' as never), TypeError)
  text.replace(Infinity, Infinity, '!')
  text.insert(2, '')
  text.delete(50)
  t.equal(text.toString(), 'a😀b!')
  text.delete(2)
  t.equal(text.toString(), 'a\ufffdb!')
  text.apply([{ position: 1, deleted: 1, inserted: '\ud83d' }, { position: 2, deleted: 0, inserted: '\ude00' }])
  t.equal(text.toString(), 'a\ufffd\ufffdb!')
  t.equal(core.written.length, 0)
  t.equal(events.length, 4, 'nothing is told of what does nothing; several splices are one event')
})

t.test('HD-15 what is typed over a settled text is what a plain string would be', async (t) => {
  const settled = createText()
  settled.apply(written(1, 1, 1), [{ type: 'text-insert-range', key: 't', anchor: { at: 'start' }, text: 'abcdefghijklmnopqrstuvwxyz' }])
  const edit = fc.tuple(fc.nat(40), fc.nat(6), fc.constantFrom('', 'X', 'YZ'))
  fc.assert(fc.property(fc.array(edit, { maxLength: 30 }), fc.nat(40), fc.nat(40), (edits, from, to) => {
    const typing = createTyping()
    let model = settled.toString()
    for (const [at, count, inserted] of edits) {
      const position = Math.min(at, model.length)
      const deleted = Math.min(count, model.length - position)
      typing.splice(position, deleted, inserted)
      model = model.slice(0, position) + inserted + model.slice(position + deleted)
      if (settled.length + typing.growth !== model.length || typing.slice(settled, 0, Infinity) !== model || typing.slice(settled, from, to) !== (from < to ? model.slice(from, to) : '')) return false
    }
    const apart = typing.edits.every((one, i) => i === 0 || typing.edits[i - 1].at + typing.edits[i - 1].deleted < one.at)
    const order = Array.from({ length: 27 }, (_, i) => [typing.toShown(i, false), typing.toShown(i, true)])
    return apart && order.every(([before, after], i) => before <= after && after <= model.length && (i === 0 || order[i - 1][1] <= after)) && !typing.full
  }))
})

t.test('HD-16 an anchor keeps its place, through deletion and back', async (t) => {
  const [one, two] = [createPeer(1), createPeer(2)]
  one.text.insert(0, 'a😀b')
  const anchors = [one.text.anchor(0, 'left'), one.text.anchor(1, 'left'), one.text.anchor(1), one.text.anchor(3, 'left'), one.text.anchor(4, 'left'), one.text.anchor(4)]
  const resolved = (peer = one) => anchors.map((anchor) => peer.text.resolve(anchor))
  t.same(resolved(), [0, 1, 1, 3, 4, 4])
  t.same(JSON.parse(JSON.stringify(anchors)), anchors)
  exchange(one, two)
  one.text.insert(1, 'XY')
  t.same(resolved(), [0, 1, 3, 5, 6, 6], 'while it is being typed')
  exchange(one, two)
  t.same(resolved(two), [0, 1, 3, 5, 6, 6])
  two.text.insert(0, '>')
  two.text.insert(7, '<')
  exchange(one, two)
  t.same(resolved(), [0, 2, 4, 6, 7, 8])
  const undo = one.handles.undoManager()
  one.text.delete(1, 6)
  t.same(resolved(), [0, 1, 1, 1, 1, 2])
  one.handles.flush()
  t.same(resolved(), [0, 1, 1, 1, 1, 2], 'a deleted character counts where it was')
  undo.undo()
  t.same(resolved(), [0, 2, 4, 6, 7, 8], 'and where it came back')
  t.throws(() => one.text.anchor(0, 'middle' as never), RangeError)
  const author = '01'.repeat(32)
  for (const wrong of [null, 5, {}, { side: 'up' }, { side: 'left', id: 1 }, { side: 'left', id: [1] }, { side: 'left', id: ['1', author] }, { side: 'left', id: [-1, author] }, { side: 'right', id: [900, author] }]) {
    t.equal(one.text.resolve(wrong as never), null)
  }
})

t.test('HD-17 a text as of a lamport value', async (t) => {
  const { text, core, handles } = createPeer()
  text.insert(0, 'one')
  handles.flush()
  const then = core.clock
  text.insert(3, ' two')
  handles.flush()
  t.same([text.at(then), text.at(core.clock)], ['one', 'one two'])
})

t.test('HD-18 a list is read by index and by id', async (t) => {
  const { list } = createPeer()
  const [a, b] = list.pushAll(['a', 'b'])
  const c = list.insert(1, 'c')
  const d = list.insertBefore(a, 'd')
  const e = list.insertAfter(a, 'e')
  const f = list.insertAfter('00'.repeat(16), 'f')
  t.same(list.toArray().map(({ content }) => content).join(''), 'daecbf')
  t.same(list.ids(), [d, a, e, c, b, f])
  t.same([list.length, list.at(0), list.at(-1), list.at(9), list.get(c), list.get('00'.repeat(16)), list.indexOf(b), list.has(b)], [6, { id: d, content: 'd' }, { id: f, content: 'f' }, undefined, 'c', undefined, 4, true])
  t.same([...list], list.toArray())
  t.match(a, /^[0-9a-f]{32}$/)
  t.same([list.move(b, 0), list.move(d, 99), list.move('00'.repeat(16), 0)], [true, true, false])
  t.same(list.ids(), [b, a, e, c, f, d])
  t.same([list.delete(a), list.delete(a), list.update(a, 'A'), list.update(b, 'B')], [true, false, false, true])
  t.same(list.toArray().map(({ content }) => content).join(''), 'Becfd')
  list.clear()
  t.same(list.toArray(), [])
  t.throws(() => list.at(0.5), RangeError)
  t.throws(() => list.at('0' as never), TypeError)
})

t.test('HD-19 each list operation is a node with its content; moving to where it stands is none', async (t) => {
  const peer = createPeer()
  const { list, map, handles } = peer
  const [a, b] = list.pushAll(['a', 'b'])
  list.move(a, 1)
  list.move(a, 1)
  list.update(b, 'B')
  list.delete(b)
  t.same(types(peer), [['list-insert', 'map-set'], ['list-insert', 'map-set'], ['list-move'], ['map-set'], ['list-delete', 'map-delete']])
  t.equal(handles.map('list').size, 0, 'contents are no entries of a map')
  t.same([handles.map('list').get(`items/${a}`), map.size], ['a', 0])
  peer.core.receive([written(5, 5, 50, { type: 'list-insert', key: 'list', item: bytes(5, 16), position: 'z' })])
  t.same(list.at(-1), { id: '05'.repeat(16), content: undefined }, 'its content has not come')
  list.delete('05'.repeat(16))
  t.same(types(peer, 5), [['list-delete']])
  handles.transact(() => {
    list.update(a, 'new')
    list.delete(a)
  })
  t.same(types(peer, 6), [['list-delete', 'map-delete']], 'what is deleted in the same transaction is not written any more')
})

t.test('HD-20 items that share a position can be parted', async (t) => {
  const peers = Array.from({ length: 5 }, (_, i) => createPeer(i + 1))
  for (const { list } of peers) list.push('x')
  exchange(...peers)
  const [{ list }] = peers
  t.equal(new Set(peers[0].core.views.document.list('list').items().map(({ position }) => position)).size, 1)
  const ids = list.ids()
  const between = list.insert(2, 'between')
  t.same(list.ids(), [...ids.slice(0, 2), between, ...ids.slice(2)])
  t.equal(list.move(ids[4], 1), true)
  t.same(list.ids(), [ids[0], ids[4], ids[1], between, ids[2], ids[3]])
  exchange(...peers)
  for (const peer of peers) t.same(peer.list.ids(), list.ids())
})

t.test('HD-21 gestures do what drag and drop means, in one step, and nothing for items that are gone', async (t) => {
  const { list, events, handles } = createPeer()
  const gone = '00'.repeat(16)
  const reset = () => {
    list.clear()
    list.pushAll([...'abcde'])
    const ids = Object.fromEntries(list.toArray().map(({ id, content }) => [content, id]))
    events.length = 0
    return ids
  }
  const order = () => list.toArray().map(({ content }) => content).join('')
  type Gesture = [name: string, run: (ids: Record<string, string>) => boolean, order: string, done: boolean]
  const { gestures: g } = list
  const cases: Gesture[] = [
    ['onto a later one', ({ a, d }) => g.dropOnto(a, d), 'bcae', true],
    ['onto an earlier one', ({ a, d }) => g.dropOnto(d, a), 'dbce', true],
    ['onto nothing', ({ a }) => g.dropOnto(a, gone), 'bcdea', true],
    ['onto itself', ({ a }) => g.dropOnto(a, a), 'abcde', true],
    ['nothing onto one', ({ a }) => g.dropOnto(gone, a), 'abcde', false],
    ['between', ({ a, c, d }) => g.dropBetween(a, c, d), 'bcade', true],
    ['behind the left one', ({ a, c }) => g.dropBetween(a, c, gone), 'bcade', true],
    ['before the right one', ({ e, b }) => g.dropBetween(e, null, b), 'aebcd', true],
    ['between nothing', ({ a }) => g.dropBetween(a, null, null), 'bcdea', true],
    ['between itself and the next', ({ a, b }) => g.dropBetween(a, a, b), 'abcde', true],
    ['between itself and nothing', ({ a }) => g.dropBetween(a, a, null), 'abcde', true],
    ['between itself twice', ({ a }) => g.dropBetween(a, null, a), 'abcde', true],
    ['nothing between', ({ a, b }) => g.dropBetween(gone, a, b), 'abcde', false],
    ['swapped', ({ b, d }) => g.swap(b, d), 'adcbe', true],
    ['swapped the other way', ({ b, d }) => g.swap(d, b), 'adcbe', true],
    ['swapped with itself', ({ b }) => g.swap(b, b), 'abcde', true],
    ['swapped with nothing', ({ b }) => g.swap(gone, b), 'abcde', false],
    ['before', ({ e, b }) => g.dropBefore(e, b), 'aebcd', true],
    ['before a later one', ({ a, d }) => g.dropBefore(a, d), 'bcade', true],
    ['after', ({ a, c }) => g.dropAfter(a, c), 'bcade', true],
    ['after an earlier one', ({ e, b }) => g.dropAfter(e, b), 'abecd', true],
    ['after nothing', ({ a }) => g.dropAfter(a, gone), 'bcdea', true],
    ['after itself', ({ a }) => g.dropAfter(a, a), 'abcde', true],
    ['nothing after', ({ a }) => g.dropAfter(gone, a), 'abcde', false]
  ]
  for (const [name, run, expected, done] of cases) {
    const ids = reset()
    t.same([run(ids), order(), events.length], [done, expected, expected === 'abcde' ? 0 : 1], name)
  }
  const ids = reset()
  const undo = handles.undoManager({ captureTimeout: 0 })
  g.dropOnto(ids.a, ids.d)
  undo.undo()
  t.equal(order(), 'abcde', 'one step')
})

t.test('HD-22 what the server has not confirmed is not canonical', async (t) => {
  const { handles, core, map, text, list } = createPeer()
  map.set('k', 1)
  text.insert(0, 'x')
  list.push('item')
  handles.flush()
  const { canonical } = handles
  t.same([canonical.map('map').all(), canonical.text('text').toString(), [...canonical.list('list')]], [{}, '', []])
  core.accept(core.pending[0])
  core.accept(core.pending[0])
  core.accept(core.pending[0])
  t.same([canonical.map('').get('map/k'), canonical.map('').size, canonical.text('text').length, canonical.list('list').at(0)?.content], [1, 1, 1, 'item'])
})

t.test('HD-23 a refusal is told like any change, and names what it was', async (t) => {
  const { core, map, text, events, handles } = createPeer()
  map.set('k', 1)
  core.accept(core.pending[0])
  map.set('k', 2)
  text.insert(0, 'typed')
  core.refuse(core.pending[0])
  t.same([map.get('k'), text.toString()], [1, ''])
  t.match(events.at(-1), { source: 'rejection', maps: [{ path: 'map/k', op: 'set', value: 1, old: 2 }], texts: [{ key: 'text', splices: [{ position: 0, deleted: 5, inserted: '' }] }] })
  core.receive([written(9, 9, 90, { type: 'map-set', key: 'map/k', value: utf8Encode('3') })], 'storage')
  t.match(events.at(-1), { source: 'storage', maps: [{ value: 3 }] })
  core.write([{ type: 'map-delete', key: 'map/k' }])
  t.match(events.at(-1), { source: 'local', maps: [{ op: 'delete' }] }, 'what is written past the handles is told too')
  handles.close()
  t.equal(map.get('k'), undefined)
})

t.test('HD-24 closing turns typing into nodes and ends writing', async (t) => {
  const { core, text, map, handles, clock } = createPeer()
  text.insert(0, 'last words')
  handles.close()
  handles.close()
  t.equal(core.written.length, 1)
  t.throws(() => map.set('k', 1), { code: 'client.closed' })
  t.throws(() => text.insert(0, 'x'), { code: 'client.closed' })
  t.equal(clock.pending, 0)
})
