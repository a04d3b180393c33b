import { createFakeClock, type FakeClock } from '../../lib/testing/clock.js'
import type { ChangeEvent } from '../../lib/client/event.js'
import { type Handles, createHandles } from '../../lib/client/handles.js'
import type { ListHandle } from '../../lib/client/list.js'
import type { MapHandle } from '../../lib/client/map.js'
import type { TextHandle } from '../../lib/client/text.js'
import type { UndoManager } from '../../lib/client/undo.js'
import type { WorkspaceOptions } from '../../lib/client/workspace.js'
import { type MemoryCore, createMemoryCore } from './handles-core.js'
import { createRandom } from '../peer/random.js'

/** A replica with its handles, and what an application would have made of the events it was sent. */
export interface HandlesPeer {
  core: MemoryCore
  clock: FakeClock
  handles: Handles
  map: MapHandle
  text: TextHandle
  list: ListHandle
  events: ChangeEvent[]
  errors: unknown[]
}

export function createPeer (author = 1, options: WorkspaceOptions = {}): HandlesPeer {
  const core = createMemoryCore(author)
  const clock = createFakeClock()
  const random = createRandom(author)
  const errors: unknown[] = []
  const handles = createHandles(core, { clock, randomBytes: random.bytes, onError: (error) => errors.push(error), ...options })
  const events: ChangeEvent[] = []
  handles.onChange((event) => events.push(event))
  return { core, clock, handles, map: handles.map('map'), text: handles.text('text'), list: handles.list('list'), events, errors }
}

/** Gives every peer what the others wrote. */
export function exchange (...peers: HandlesPeer[]): void {
  for (const { handles } of peers) handles.flush()
  for (const from of peers) {
    const nodes = [...from.core.pending]
    for (const node of nodes) from.core.accept(node)
    for (const to of peers) if (to !== from) to.core.receive(nodes)
  }
}

/** What the user sees. Items are shown without their ids, which an undo does not bring back. */
export function shown ({ map, text, list }: Pick<HandlesPeer, 'map' | 'text' | 'list'>): unknown {
  return { map: map.entries().sort(([a], [b]) => a < b ? -1 : 1), text: text.toString(), list: list.toArray().map(({ content }) => content) }
}

/** Text, map and list as somebody has them who knows only what observers are told. */
export interface Mirror { text: string, map: Map<string, unknown>, list: Map<string, unknown> }

export function mirror ({ text, map, list }: HandlesPeer): Mirror {
  const seen: Mirror = { text: text.toString(), map: new Map(map.entries()), list: new Map(list.toArray().map(({ id, content }) => [id, content])) }
  text.observe(({ splices }) => {
    for (const { position, deleted, inserted } of splices) seen.text = seen.text.slice(0, position) + inserted + seen.text.slice(position + deleted)
  })
  map.observe(({ changes }) => {
    for (const { key, op, value } of changes) {
      if (op === 'delete') seen.map.delete(key)
      else seen.map.set(key, value)
    }
  })
  list.observe(({ inserted, deleted, updated }) => {
    for (const id of deleted) seen.list.delete(id)
    for (const id of [...inserted, ...updated]) seen.list.set(id, list.get(id))
  })
  return seen
}

export type { UndoManager }
