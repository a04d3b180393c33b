import { byId } from './element.js'

const MANNERS = ['Curious', 'Quiet', 'Merry', 'Patient', 'Bright', 'Gentle', 'Bold', 'Sunny']
const ANIMALS = ['Otter', 'Heron', 'Badger', 'Finch', 'Lynx', 'Marten', 'Plover', 'Hare']
/** Each reads well on white, with white on it, and on the dark page. */
export const COLORS = ['#b4235a', '#7a3fc4', '#2f5fd0', '#0b7285', '#18794e', '#8a5a00', '#c2410c', '#5b5bd6']

const anyOf = (list: readonly string[]): string => list[crypto.getRandomValues(new Uint32Array(1))[0] % list.length]

export interface Profile { readonly name: string, readonly color: string }

/** The name is this browser's, the colour this tab's: two tabs of one person can be told apart. */
export function loadProfile (): Profile {
  const name = localStorage.getItem('name') ?? `${anyOf(MANNERS)} ${anyOf(ANIMALS)}`
  const color = sessionStorage.getItem('color') ?? anyOf(COLORS)
  localStorage.setItem('name', name)
  sessionStorage.setItem('color', color)
  return { name, color }
}

/** Lets the name be changed; tells each change. */
export function editName (profile: Profile, changed: (name: string) => void): void {
  const field = byId<HTMLInputElement>('name')
  field.value = profile.name
  field.addEventListener('input', () => {
    const name = field.value.trim()
    if (name === '') return
    localStorage.setItem('name', name)
    changed(name)
  })
}
