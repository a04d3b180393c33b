import type { OpId } from '../protocol/op.js'
import type { Text } from '../state/text.js'
import { type Block, type Entry, type Run, runsOf } from './entry.js'
import { blocksOf, shownOf, writeDeletes, writeRun } from './text-write.js'
import type { Skipped } from './undo-map.js'
import type { Workspace } from './workspace.js'

/**
 * Takes out the characters that were inserted and brings back those that were deleted, by id. A character cannot be shown again: new
 * ones are written behind the tombstones of the old, and the old ids stand for them from then on.
 */
export function undoText (workspace: Workspace, { key, inserted, deleted }: Extract<Entry, { kind: 'text' }>): Skipped | null {
  const { aliases, document } = workspace
  const text = document.text(key)
  const gone = shownOf(text, inserted.flatMap((run) => aliases.ids(key, run)))
  const missing = deleted.flatMap((block) => piecesOf(text, block, (run) => aliases.ids(key, run)))
  writeDeletes((ops) => workspace.write(ops), key, gone)
  const back = missing.flatMap((piece) => piece.after === null ? [] : restore(workspace, key, piece.after, piece))
  if (gone.length > 0 || back.length > 0) workspace.note({ kind: 'text', key, inserted: back, deleted: blocksOf(gone) })
  return missing.some(({ after }) => after === null) ? { kind: 'text', key, reason: 'unknown' } : null
}

/** Deleted characters that nothing shows: `after` is the last of them that the text knows. */
interface Piece { text: string, ids: OpId[], after: OpId | null }

/** The parts of a block that are not shown. */
function piecesOf (text: Text, block: Block, latest: (run: Run) => OpId[]): Piece[] {
  const ids = block.runs.flatMap(latest)
  const pieces: Piece[] = []
  let open: Piece | null = null
  for (const [i, char] of [...block.text].entries()) {
    const id = ids[i]
    const place = text.placeOf(id)
    if (place !== null && place.length > 0) {
      open = null
      continue
    }
    if (open === null) pieces.push(open = { text: '', ids: [], after: null })
    open.text += char
    open.ids.push(id)
    if (place !== null) open.after = id
  }
  return pieces
}

function restore (workspace: Workspace, key: string, after: OpId, { text, ids }: Piece): Run[] {
  const written = writeRun((ops) => workspace.write(ops), key, after, text)
  const now = written.flatMap(({ author, lamport, length }) => Array.from({ length }, (_, i): OpId => ({ author, lamport: lamport + i })))
  let done = 0
  for (const run of runsOf(ids)) {
    workspace.aliases.addRun(key, run, now[done])
    done += run.length
  }
  return written
}
