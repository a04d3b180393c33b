/** Who wants to hear of something. A listener that throws is reported and stops nobody else. */
export interface Listeners<Heard extends unknown[]> {
  /** Returns how to stop; a function that is added twice hears twice. */
  add (listen: (...heard: Heard) => void): () => void
  tell (...heard: Heard): void
}

export function createListeners<Heard extends unknown[]> (report: (error: unknown) => void): Listeners<Heard> {
  const all = new Set<{ listen: (...heard: Heard) => void }>()
  return {
    add (listen) {
      const entry = { listen }
      all.add(entry)
      return () => { all.delete(entry) }
    },
    tell (...heard) {
      for (const { listen } of [...all]) {
        try {
          listen(...heard)
        } catch (error) {
          report(error)
        }
      }
    }
  }
}
