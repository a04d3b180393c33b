/** A note lives at `/r/<room>`; whoever has the link may write in it, so that a new one gets a name that cannot be guessed. */
export function roomOfPage (): string {
  const [, given] = /^\/r\/([^/]+)$/.exec(location.pathname) ?? [null, location.hash.slice(1)]
  const room = given === '' ? randomRoom() : decodeURIComponent(given)
  history.replaceState(null, '', `/r/${encodeURIComponent(room)}`)
  return room
}

function randomRoom (): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12))
  return Array.from(bytes, (byte) => byte.toString(36).padStart(2, '0')).join('')
}

export interface Note { room: string, title: string, at: number }

const NOTES = 'notes'
const NOTES_KEPT = 12

/** The notes opened on this device, the latest first. */
export function recentNotes (): Note[] {
  return JSON.parse(localStorage.getItem(NOTES) ?? '[]')
}

export function rememberNote (room: string, title: string): void {
  const others = recentNotes().filter((note) => note.room !== room)
  localStorage.setItem(NOTES, JSON.stringify([{ room, title, at: Date.now() }, ...others].slice(0, NOTES_KEPT)))
}
