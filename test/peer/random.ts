/** Random numbers that depend on nothing but the seed (a 32-bit mixing generator). */
export interface Random {
  /** An integer in `[0, below)`. */
  below (below: number): number
  chance (probability: number): boolean
  pick<T> (list: readonly T[]): T
  bytes (length: number): Uint8Array
  shuffled<T> (list: readonly T[]): T[]
}

export function createRandom (seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ state >>> 15, state | 1)
    mixed = (mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61)) ^ mixed
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32
  }
  const below = (limit: number): number => Math.floor(next() * limit)
  return {
    below,
    chance: (probability) => next() < probability,
    pick: (list) => list[below(list.length)],
    bytes: (length) => Uint8Array.from({ length }, () => below(256)),
    shuffled (list) {
      const mixed = [...list]
      for (let i = mixed.length - 1; i > 0; i--) {
        const j = below(i + 1)
        ;[mixed[i], mixed[j]] = [mixed[j], mixed[i]]
      }
      return mixed
    }
  }
}
