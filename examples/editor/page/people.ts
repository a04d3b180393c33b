import type { Doc } from 'nodalmerge/client'
import { type EditorPresence, personOf } from 'nodalmerge/client/codemirror'
import { byId, make } from './element.js'

/** Faces in the bar, on a wide screen and on a phone. */
const FACES = { wide: 4, narrow: 2 }

interface Shown { name: string, color: string, note: string }

/** Who is here: faces in the bar, a list with names behind them. Two tabs of one identity are two people. */
export function showPeople (doc: Doc, changed: () => void): { others: () => number, show: () => void } {
  const presence = doc.presence<EditorPresence>()
  const others = (): Shown[] => presence.others().map(({ sessionId, pubkey, state }) => {
    const { name, color } = personOf(String(sessionId ?? pubkey), state)
    return { name: name || 'Somebody', color, note: pubkey === doc.pubkey ? 'your other tab' : '' }
  })
  const show = (): void => {
    const me = presence.me() ?? {}
    const all = [{ name: me.name ?? '', color: me.color ?? '', note: 'you' }, ...others()]
    byId('people-list').replaceChildren(...all.map(row))
    byId('faces').replaceChildren(...all.slice(0, FACES.wide).map(face), ...more(all.length, 'wide'), ...more(all.length, 'narrow'))
    byId('faces').setAttribute('aria-label', all.length === 1 ? 'People here: only you' : `People here: ${all.length}`)
    changed()
  }
  presence.observe(show)
  return { others: () => presence.others().length, show }
}

function more (people: number, screen: 'wide' | 'narrow'): HTMLElement[] {
  const left = people - FACES[screen]
  return left > 0 ? [make('span', `face more ${screen}`, `+${left}`)] : []
}

function face ({ name, color }: Shown): HTMLElement {
  const initials = name.split(/\s+/).map((word) => [...word][0] ?? '').slice(0, 2).join('').toUpperCase()
  const element = make('span', 'face', initials)
  element.style.setProperty('--peer', color)
  element.title = name
  return element
}

function row (person: Shown): HTMLElement {
  return make('li', '', face(person), make('span', 'person-name', person.name), make('span', 'person-note', person.note))
}
