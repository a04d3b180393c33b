import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { Blake3 } from '../../lib/protocol/blake3.js'
import type { Op } from '../../lib/protocol/op.js'
import { type Corpus, authorKey, cached, chain, createCollector, signedChains } from './corpus.js'

/** Where the recorded editing histories lie; they are not part of the repository. */
const FOLDER = process.env.NODALMERGE_TRACES

/** Edits of the sequential trace, and how many keystrokes stand in for it where it is not there. */
export const TRACE_EDITS = 259_778

interface Sequential { txns: Array<{ patches: Array<[position: number, deleted: number, inserted: string]> }> }

/** The first `most` edits of the sequential trace as signed nodes of one author, one an edit; kept, because signing them takes a while. */
export async function signedTrace (most: number, blake3: Blake3): Promise<Corpus> {
  if (FOLDER === undefined) return await signedChains('keystroke', 1, most, blake3)
  const file = await readFile(join(FOLDER, 'automerge-paper.json.gz'))
  return await cached('trace', { most, file: createHash('sha256').update(file).digest('hex') }, () => {
    const signer = authorKey(0)
    const edits = operations(JSON.parse(gunzipSync(file).toString()) as Sequential, signer.publicKey).slice(0, most)
    const collector = createCollector()
    for (const node of chain({ signer, blake3, count: edits.length, opsOf: (i) => [edits[i]] })) collector.add(node)
    return collector.corpus()
  })
}

/** One operation for every character written or deleted; operation `i` is written at lamport `i + 1`. */
function operations ({ txns }: Sequential, author: Uint8Array): Op[] {
  const ops: Op[] = []
  const ids: number[] = []
  for (const [position, deleted, inserted] of txns.flatMap(({ patches }) => patches)) {
    for (const lamport of ids.splice(position, deleted)) ops.push({ type: 'text-delete', key: 'text', target: { lamport, author } })
    let at = position
    for (const char of inserted) {
      const after = at === 0 ? null : { lamport: ids[at - 1], author }
      ops.push({ type: 'text-insert', key: 'text', after, char })
      ids.splice(at++, 0, ops.length)
    }
  }
  return ops
}
