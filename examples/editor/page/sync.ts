import type { Doc, Status } from 'nodalmerge/client'
import { byId } from './element.js'

/** How far a step has come: reached, under way, waiting for a connection, or gone wrong. */
type Stage = 'done' | 'busy' | 'waiting' | 'failed'
interface Step { stage: Stage, text: string, short: string }

/** Shows where one's words are, in three steps, each of which says only what is known; and lets one go offline and back. */
export function showSync (doc: Doc, people: () => number): () => void {
  const online = byId<HTMLButtonElement>('online')
  let wanted = true
  let connected = false
  const show = (): void => {
    const status = doc.status.get()
    put('step-device', onDevice(status))
    put('step-server', onServer(status, wanted))
    put('step-people', withPeople(status, people()))
    if (connected === (status.connection === 'open')) return
    connected = !connected
    byId('connection').textContent = connected ? 'Connected' : 'Not connected. What you write is kept on this device.'
  }
  online.addEventListener('click', () => {
    wanted = !wanted
    online.setAttribute('aria-checked', String(wanted))
    byId('online-label').textContent = wanted ? 'Online' : 'Offline'
    if (wanted) doc.connect()
    else doc.disconnect()
    show()
  })
  doc.status.subscribe(show)
  show()
  return show
}

function onDevice ({ storage, unsaved }: Status): Step {
  if (storage === 'failed') return { stage: 'failed', text: 'This device cannot save', short: 'Cannot save' }
  if (storage === 'memory') return { stage: 'failed', text: 'Kept until this tab closes', short: 'Not kept' }
  if (unsaved > 0) return { stage: 'busy', text: 'Saving on this device', short: 'Saving' }
  return { stage: 'done', text: 'Saved on this device', short: 'On device' }
}

function onServer (status: Status, wanted: boolean): Step {
  const waiting = status.unacknowledged
  const changes = waiting === 0 ? 'nothing new to send' : `${waiting.toLocaleString('en')} ${waiting === 1 ? 'change waits' : 'changes wait'}`
  if (status.connection === 'denied') return { stage: 'failed', text: `The server said no: ${status.reason ?? 'no reason given'}`, short: 'Refused' }
  if (!wanted || status.connection === 'offline') return { stage: 'waiting', text: `Offline: ${changes}`, short: waiting === 0 ? 'Offline' : `${waiting} to send` }
  if (status.connection !== 'open') return { stage: 'waiting', text: `Looking for the server: ${changes}`, short: 'Connecting' }
  if (waiting > 0 || !status.synced) return { stage: 'busy', text: 'Sending to the server', short: 'Sending' }
  if (status.blobs > 0) return { stage: 'busy', text: `Sending ${status.blobs === 1 ? 'a picture' : `${status.blobs} pictures`}`, short: 'Sending' }
  return { stage: 'done', text: 'Durable on the server', short: 'On server' }
}

function withPeople ({ connection, synced, unacknowledged }: Status, others: number): Step {
  const people = others === 1 ? '1 person' : `${others} people`
  if (connection !== 'open') return { stage: 'waiting', text: 'Others see it once you are back', short: 'Later' }
  if (others === 0) return { stage: 'waiting', text: 'Nobody else is here', short: 'Only you' }
  if (!synced || unacknowledged > 0) return { stage: 'busy', text: `Relaying to ${people}`, short: people }
  return { stage: 'done', text: `Relayed to ${people}`, short: people }
}

function put (id: string, { stage, text, short }: Step): void {
  const item = byId(id)
  if (item.dataset.stage === stage && item.title === text) return
  item.dataset.stage = stage
  item.dataset.short = short
  item.title = text
  item.lastElementChild?.replaceChildren(text)
}
