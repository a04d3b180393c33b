import type { Change } from '../state/change.js'
import type { Problem } from './admission.js'
import type { ChangeSource, Rejection } from './core.js'
import { createListeners } from './listeners.js'
import type { Replica } from './replica.js'

/** What is told of a replica, and to whom. */
export interface News {
  readonly listeners: {
    before: (run: () => void) => () => void
    change: (listen: (change: Change, source: ChangeSource) => void) => () => void
    rejection: (listen: (rejection: Rejection) => void) => () => void
    counts: (listen: () => void) => () => void
    problem: (listen: (problem: Problem) => void) => () => void
    storage: (listen: (error: unknown) => void) => () => void
  }
  /** Nodes of others are about to be applied. */
  before (): void
  /** Nodes of others were applied; they are told with the next `flush`. */
  applied (): void
  /** Tells what others have changed, when they have. */
  flush (): void
  /** Tells what has changed since the last time. */
  change (source: ChangeSource): void
  reject (rejections: readonly Rejection[]): void
  /** Tells, once in a turn, that counts may have changed. */
  recount (): void
  problem (problem: Problem): void
  storage (error: unknown): void
}

export function createNews (replica: Replica): News {
  const problems = createListeners<[Problem]>(() => {})
  const report = (error: unknown): void => problems.tell({ code: 'reject.internal', message: String(error) })
  const befores = createListeners<[]>(report)
  const changes = createListeners<[Change, ChangeSource]>(report)
  const rejections = createListeners<[Rejection]>(report)
  const counts = createListeners<[]>(report)
  const storages = createListeners<[unknown]>(report)
  let untold = false
  let counting = false

  function recount (): void {
    if (counting) return
    counting = true
    queueMicrotask(() => {
      counting = false
      counts.tell()
    })
  }

  function change (source: ChangeSource): void {
    untold = false
    const change = replica.views.settle()
    if (change.maps.size + change.lists.size + change.texts.size > 0) changes.tell(change, source)
    recount()
  }

  return {
    listeners: {
      before: befores.add, change: changes.add, rejection: rejections.add, counts: counts.add, problem: problems.add, storage: storages.add
    },
    before: befores.tell,
    applied () { untold = true },
    flush () { if (untold) change({ from: 'remote' }) },
    change,
    reject (all) { for (const rejection of all) rejections.tell(rejection) },
    recount,
    problem: problems.tell,
    storage: storages.tell
  }
}
