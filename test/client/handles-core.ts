import { nobleBlake3 } from '../../lib/protocol/blake3.js'
import { toHex } from '../../lib/protocol/hex.js'
import { clockAfter, encodeTransaction, extraOf } from '../../lib/protocol/node.js'
import type { ChangeSource, Core, Rejection, WrittenNode } from '../../lib/client/core.js'
import type { Change } from '../../lib/state/change.js'
import { createViews } from '../../lib/state/views.js'
import { bytes } from '../state/nodes.js'

/** A replica that keeps everything in memory, signs nothing and is told by hand what the server says. */
export interface MemoryCore extends Core {
  /** Every node it wrote that was not refused, in order. */
  readonly written: readonly WrittenNode[]
  /** Those the server has not answered. */
  readonly pending: readonly WrittenNode[]
  /** Nodes of others, or echoes of its own, in one batch; known ones are passed over. */
  receive (nodes: readonly WrittenNode[], from?: 'remote' | 'storage'): void
  accept (node: WrittenNode): void
  /** Takes back a node that was refused and all that this writer wrote after it. */
  refuse (node: WrittenNode, renamed?: Rejection['renamed']): void
}

export function createMemoryCore (author: number): MemoryCore {
  const known = new Map<string, WrittenNode>()
  const views = createViews({ confirmed: () => [...known.values()].filter((node) => !pending.includes(node)) })
  const flushes = new Set<() => void>()
  const changes = new Set<(change: Change, source: ChangeSource) => void>()
  const rejections = new Set<(rejection: Rejection) => void>()
  const pending: WrittenNode[] = []
  const written: WrittenNode[] = []
  let clock = 0

  const told = <T>(set: Set<T>) => (listen: T) => {
    set.add(listen)
    return () => { set.delete(listen) }
  }

  function settle (from: ChangeSource['from']): void {
    const change = views.settle()
    for (const listen of changes) listen(change, { from })
  }

  return {
    views,
    author: bytes(author),
    written,
    pending,
    get clock () { return clock },
    write (ops) {
      const node = { id: bytes(0), author: bytes(author), lamport: clock + 1, ops }
      node.id = nobleBlake3.hash(encodeTransaction({ ...node, ops: [...ops], wallMs: 0, parents: [] }))
      clock = clockAfter(clock, node.lamport, extraOf(ops))
      known.set(toHex(node.id), node)
      pending.push(node)
      written.push(node)
      views.local(node)
      settle('local')
      return node
    },
    receive (nodes, from = 'remote') {
      for (const flush of flushes) flush()
      for (const node of nodes) {
        const name = toHex(node.id)
        const own = pending.findIndex(({ id }) => toHex(id) === name)
        if (own >= 0) pending.splice(own, 1)
        else if (known.has(name)) continue
        known.set(name, node)
        clock = clockAfter(clock, node.lamport, extraOf(node.ops))
        views.remote(node)
      }
      settle(from)
    },
    accept (node) {
      pending.splice(pending.indexOf(node), 1)
      views.confirm(node.id)
    },
    refuse (node, renamed) {
      for (const flush of flushes) flush()
      for (const refused of pending.splice(pending.indexOf(node)).reverse()) {
        known.delete(toHex(refused.id))
        written.splice(written.indexOf(refused), 1)
        views.reject(refused.id)
      }
      settle('rejection')
      const rejection = { at: 0, id: toHex(node.id), code: 'reject.policy_violation', message: 'no', ops: node.ops, reauthored: 0 }
      for (const listen of rejections) listen(renamed === undefined ? rejection : { ...rejection, renamed })
    },
    beforeApply: told(flushes),
    onChange: told(changes),
    onRejection: told(rejections)
  }
}
