import { ClassicLevel } from 'classic-level'
import { checkFolder } from './level-folder.js'
import { nodesOverLevel } from './level-nodes.js'
import type { NodeStore } from './node-store.js'

export interface LevelNodesOptions {
  /** The database's own folder; created when missing. */
  path: string
}

/** Nodes are signatures and hashes: they do not compress, and trying costs a tenth of the write rate. */
const COMPRESSION = false
/** Bytes of log before it becomes a table: halves the rewriting, and is still read in well under a second after a crash. */
const WRITE_BUFFER = 16 * 1024 * 1024

/**
 * The embedded default: nodes in a LevelDB folder, flushed to the disk before an append resolves. One process at a time; `open`
 * throws `store.locked` when another has the folder and `store.format_foreign` when it holds anything else.
 * Throws TypeError for a path that is not a non-empty string.
 */
export function levelNodes (options: LevelNodesOptions): NodeStore {
  const { path } = options
  if (typeof path !== 'string' || path === '') throw new TypeError('path is a non-empty string')
  const store = nodesOverLevel(() => folder(path), { name: 'level', durable: true, shared: false })
  return {
    ...store,
    async open () {
      await checkFolder(path)
      await store.open()
    }
  }
}

function folder (path: string): ClassicLevel<Uint8Array, Uint8Array> {
  const options = { keyEncoding: 'view', valueEncoding: 'view', compression: COMPRESSION, writeBufferSize: WRITE_BUFFER }
  return new ClassicLevel<Uint8Array, Uint8Array>(path, options)
}
