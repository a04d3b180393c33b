import assert from 'node:assert/strict'
import type { NodeStore } from '../store/node-store.js'
import { nodeAppendRules } from './node-append-rules.js'
import { nodeLifecycleRules } from './node-lifecycle-rules.js'
import { nodeLoadRules } from './node-load-rules.js'
import { roomStateRules } from './room-state-rules.js'

export interface NodeStoreSuite {
  /** Registers a test with the runner in use, such as `(title, run) => t.test(title, run)`. */
  test (title: string, run: () => Promise<void>): void
  /** A store over new, empty storage, not opened yet. */
  create (): Promise<NodeStore>
  /**
   * A second store over the same storage as one that `create` made, not opened yet. Stores that declare themselves durable or shared
   * need it; the first is closed before unless they are shared.
   */
  reopen? (store: NodeStore): Promise<NodeStore>
}

/**
 * The conformance suite of node stores: registers one test a rule. An adapter that passes can be given to the server.
 *
 * ```ts
 * nodeStoreSuite({ test: t.test, create: async () => levelNodes({ path: t.testdir() }) })
 * ```
 */
export function nodeStoreSuite (suite: NodeStoreSuite): void {
  for (const { title, run } of [...nodeAppendRules, ...nodeLoadRules, ...roomStateRules, ...nodeLifecycleRules]) {
    suite.test(title, async () => {
      const store = await suite.create()
      await store.open()
      try {
        await run({ store, another: suite.reopen === undefined ? null : () => reopened(suite, store) })
      } finally {
        await store.close()
      }
    })
  }
}

async function reopened (suite: NodeStoreSuite, store: NodeStore): Promise<NodeStore> {
  assert.ok(suite.reopen)
  return await suite.reopen(store)
}
