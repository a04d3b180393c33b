/** What is used of a browser's page. */
interface Page {
  addEventListener? (type: string, listen: () => void): void
  removeEventListener? (type: string, listen: () => void): void
}

/** Calls `leaving` when the page may be about to go: the last moment at which typing can still be handed to storage. */
export function watchPage (leaving: () => void, page: Page = globalThis as Page): () => void {
  const { addEventListener, removeEventListener } = page
  if (addEventListener === undefined || removeEventListener === undefined) return () => {}
  const types = ['pagehide', 'visibilitychange', 'blur']
  for (const type of types) addEventListener.call(page, type, leaving)
  return () => { for (const type of types) removeEventListener.call(page, type, leaving) }
}
