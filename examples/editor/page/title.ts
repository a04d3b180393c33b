import type { Doc } from 'nodalmerge/client'
import { byId } from './element.js'

/** The title: one value of a map, the latest writer's. */
export function editTitle (doc: Doc, changed: (title: string) => void, leave: () => void): void {
  const note = doc.map<{ title: string }>('note')
  const field = byId<HTMLTextAreaElement>('title')
  const show = (): void => {
    const title = note.get('title') ?? ''
    if (field.value !== title) field.value = title
    document.title = `${title.trim() || 'Untitled'} – Confluent`
    changed(title)
  }
  field.addEventListener('input', () => note.set('title', field.value.replace(/\s*\n\s*/g, ' ')))
  field.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.isComposing) return
    event.preventDefault()
    leave()
  })
  note.observe(show)
  show()
}
