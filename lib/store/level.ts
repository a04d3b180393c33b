import { checkFolder, levelFolder } from './level-folder.js'
import { nodesOverLevel } from './level-nodes.js'
import type { NodeStore } from './node-store.js'

export interface LevelNodesOptions {
  /** The database's own folder; created when missing. */
  path: string
}

/**
 * The embedded default: nodes in a LevelDB folder, flushed to the disk before an append resolves. One process at a time; `open`
 * throws `store.locked` when another has the folder and `store.format_foreign` when it holds anything else.
 * Throws TypeError for a path that is not a non-empty string.
 */
export function levelNodes (options: LevelNodesOptions): NodeStore {
  const { path } = options
  if (typeof path !== 'string' || path === '') throw new TypeError('path is a non-empty string')
  const store = nodesOverLevel(levelFolder(path), { name: 'level', durable: true, shared: false })
  return {
    ...store,
    async open () {
      await checkFolder(path)
      await store.open()
    }
  }
}
