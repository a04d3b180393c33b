/**
 * A set of names, some of which only local nodes have given: those are counted, so that they can be taken out again. Without local
 * nodes it is a plain set.
 */
export interface TentativeSet {
  readonly names: ReadonlySet<string>
  /** Puts a name in for good. */
  add (name: string): void
  addLocal (name: string): void
  /** Takes back one `addLocal`; the name goes with the last one, unless it was put in for good meanwhile. */
  retract (name: string): void
}

export function createTentativeSet (): TentativeSet {
  const names = new Set<string>()
  const local = new Map<string, number>()
  return {
    names,
    add (name) {
      names.add(name)
      if (local.size > 0) local.delete(name)
    },
    addLocal (name) {
      const count = local.get(name) ?? 0
      if (count === 0 && names.has(name)) return
      names.add(name)
      local.set(name, count + 1)
    },
    retract (name) {
      const count = local.get(name)
      if (count === undefined) return
      if (count > 1) {
        local.set(name, count - 1)
        return
      }
      local.delete(name)
      names.delete(name)
    }
  }
}
