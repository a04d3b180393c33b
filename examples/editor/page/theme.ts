import { byId } from './element.js'

/** Follows the system until somebody chooses otherwise; the choice is kept on this device. */
export function setUpTheme (): void {
  const choices = byId('theme')
  const show = (theme: string): void => {
    if (theme === 'system') delete document.documentElement.dataset.theme
    else document.documentElement.dataset.theme = theme
  }
  const kept = localStorage.getItem('theme') ?? 'system'
  show(kept)
  for (const input of choices.querySelectorAll('input')) input.checked = input.value === kept
  choices.addEventListener('change', ({ target }) => {
    if (!(target instanceof HTMLInputElement)) return
    localStorage.setItem('theme', target.value)
    show(target.value)
  })
}
