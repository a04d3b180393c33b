import type { NodeView } from '../protocol/node.js'
import type { Source } from './source.js'

/** The part of a pack that is on its way to the store: settled when every one of its nodes is durable or one of them failed. */
export interface Placement {
  readonly durable: Promise<void>
  expect (): void
  /** One node is durable (null) or the store refused it. */
  settle (failure: unknown): void
  /** No more nodes will be expected. */
  seal (): void
}

/** A node that was accepted and waits for its commit: known to its room, shown to nobody. */
export interface Staged {
  node: NodeView
  /** The node's canonical encoding. */
  bytes: Uint8Array
  key: string
  source: Source
  placement: Placement
}

export function createPlacement (): Placement {
  let resolve!: () => void
  let reject!: (failure: unknown) => void
  const durable = new Promise<void>((_resolve, _reject) => { resolve = _resolve; reject = _reject })
  // Somebody waits for it only after the whole pack was placed; until then a failure must not count as unhandled.
  durable.catch(() => {})
  let expected = 1
  const done = (): void => { if (--expected === 0) resolve() }
  return {
    durable,
    expect () { expected++ },
    settle (failure) {
      if (failure === null) done()
      else reject(failure)
    },
    seal: done
  }
}
