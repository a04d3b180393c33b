import { NodalmergeError } from '../../lib/errors.js'
import { memoryNodes } from '../../lib/store/memory.js'
import type { NodeStore } from '../../lib/store/node-store.js'

/** Doors to one memory store that stays: what a database server is to several instances. */
export function sharedNodes (): () => NodeStore {
  const core = memoryNodes()
  const opening = core.open()

  return () => {
    let isOpen = false
    const inside = async (): Promise<NodeStore> => {
      if (!isOpen) throw new NodalmergeError('store.closed')
      await opening
      return core
    }
    return {
      manifest: { name: 'shared', durable: true, shared: true },
      async open () { isOpen = true },
      async close () { isOpen = false },
      check: async () => { await inside() },
      async * load (...args) { yield * (await inside()).load(...args) },
      append: async (appends) => (await inside()).append(appends),
      async * rooms () { yield * (await inside()).rooms() },
      version: async (room) => (await inside()).version(room),
      state: async (room) => (await inside()).state(room),
      putState: async (room, state) => (await inside()).putState(room, state)
    }
  }
}
