import { createDoc } from 'nodalmerge/client'
import { browserStorage } from 'nodalmerge/client/storage/browser'
import { openEditor } from './editor.js'
import { byId, make, notice } from './element.js'
import { addPictures } from './images.js'
import { showPeople } from './people.js'
import { editName, loadProfile } from './profile.js'
import { recentNotes, rememberNote, roomOfPage } from './room.js'
import { showSync } from './sync.js'
import { setUpTheme } from './theme.js'
import { editTitle } from './title.js'

setUpTheme()
const room = roomOfPage()
const profile = loadProfile()
const doc = await createDoc({ url: location.origin.replace(/^http/, 'ws'), room, storage: browserStorage() })

const editor = openEditor(doc, profile)
const people = showPeople(doc, () => showSteps())
const showSteps = showSync(doc, people.others)
people.show()
editName(profile, (name) => {
  doc.presence().set({ name })
  people.show()
})
editTitle(doc, (title) => rememberNote(room, title), () => editor.focus())
doc.on('rejection', ({ message }) => notice(`The server refused a change: ${message}`))

const files = byId<HTMLInputElement>('files')
byId('pick').addEventListener('click', () => files.click())
files.addEventListener('change', async () => {
  await addPictures(doc, editor, [...files.files ?? []])
  files.value = ''
})
byId('share').addEventListener('click', async () => {
  // Browsers lend the clipboard to pages from https and localhost only.
  await navigator.clipboard?.writeText(location.href)
  notice(navigator.clipboard ? 'Link copied. Whoever has it can write here.' : `The link is ${location.href}`)
})
byId('more').addEventListener('beforetoggle', () => {
  const notes = recentNotes().map((note) => {
    const link = make('a', note.room === room ? 'current' : '', note.title.trim() || 'Untitled')
    link.href = `/r/${encodeURIComponent(note.room)}`
    return make('li', '', link)
  })
  byId('notes').replaceChildren(...notes)
})
for (const name of ['dragenter', 'dragover'] as const) {
  document.addEventListener(name, (event) => { document.body.classList.toggle('dropping', event.dataTransfer?.types.includes('Files') ?? false) })
}
for (const name of ['dragleave', 'drop', 'dragend'] as const) {
  document.addEventListener(name, (event) => { if (name !== 'dragleave' || event.relatedTarget === null) document.body.classList.remove('dropping') })
}

document.documentElement.dataset.ready = 'true'
await navigator.serviceWorker?.register('/sw.js')
