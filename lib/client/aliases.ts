import { toHex } from '../protocol/hex.js'
import type { OpId } from '../protocol/op.js'
import { type Run, idsOf } from './entry.js'

/**
 * Under which ids characters and items live on: what an undo brings back, and what is written anew after a refusal, gets new ones,
 * while older steps of an undo manager and anchors still name the old.
 */
export interface Aliases {
  /** The characters of `from` live on as those from `to` on; not those that do already under other ids. */
  addRun (key: string, from: Run, to: OpId): void
  /** The latest ids of a run's characters, in the same order. */
  ids (key: string, run: Run): OpId[]
  addItem (key: string, from: string, to: string): void
  item (key: string, item: string): string
}

interface Alias { lamport: number, length: number, to: OpId }

export function createAliases (): Aliases {
  const runs = new Map<string, Alias[]>()
  const items = new Map<string, string>()
  const author = (key: string, id: OpId): string => `${toHex(id.author)}${key}`

  /** What covers part of a run first: aliases never overlap. */
  function covering (key: string, run: Run): Alias | undefined {
    const own = runs.get(author(key, run))
    if (own === undefined) return undefined
    const at = above(own, run.lamport)
    const before = own[at - 1]
    if (before !== undefined && before.lamport + before.length > run.lamport) return before
    const next = own[at]
    return next !== undefined && next.lamport < run.lamport + run.length ? next : undefined
  }

  function add (name: string, alias: Alias): void {
    const own = runs.get(name)
    if (own === undefined) runs.set(name, [alias])
    else own.splice(above(own, alias.lamport), 0, alias)
  }

  return {
    addRun (key, from, to) {
      const end = from.lamport + from.length
      for (let lamport = from.lamport; lamport < end;) {
        const rest = { ...from, lamport, length: end - lamport }
        const known = covering(key, rest)
        const stop = Math.min(end, known?.lamport ?? end)
        if (lamport < stop) add(author(key, from), { lamport, length: stop - lamport, to: { ...to, lamport: to.lamport + lamport - from.lamport } })
        lamport = known === undefined ? end : known.lamport + known.length
      }
    },
    ids (key, run) {
      const out: OpId[] = []
      const left = [run]
      for (let next = left.pop(); next !== undefined; next = left.pop()) {
        const alias = covering(key, next)
        if (alias === undefined) {
          out.push(...idsOf(next))
          continue
        }
        const { author, lamport, length } = next
        const start = Math.max(lamport, alias.lamport)
        const end = Math.min(lamport + length, alias.lamport + alias.length)
        if (end < lamport + length) left.push({ author, lamport: end, length: lamport + length - end })
        left.push({ author: alias.to.author, lamport: alias.to.lamport + start - alias.lamport, length: end - start })
        if (start > lamport) left.push({ author, lamport, length: start - lamport })
      }
      return out
    },
    addItem (key, from, to) { items.set(`${from}${key}`, to) },
    item (key, item) {
      let name = item
      for (let next = items.get(`${name}${key}`); next !== undefined; next = items.get(`${name}${key}`)) name = next
      return name
    }
  }
}

/** Index of the first alias that starts above a lamport. */
function above (aliases: readonly Alias[], lamport: number): number {
  let low = 0
  let high = aliases.length
  while (low < high) {
    const middle = low + high >>> 1
    if (aliases[middle].lamport <= lamport) low = middle + 1
    else high = middle
  }
  return low
}
