import { extraLamports, type Op, type OpId, type TextOp } from '../protocol/op.js'

/** Characters `lamport .. lamport + length` of an author in the text under a key, and where they are now. */
export interface Renamed { key: string, author: Uint8Array, lamport: number, length: number, to: OpId }

/** Characters written by one node under one key: their lamport values `[from, to]`, and what they are now; null when they are gone. */
interface Run { from: number, to: number, now: OpId | null }

/**
 * Where characters went whose nodes were written anew: under other ids, or nowhere. Runs of one author and key are noted in ascending
 * order, as nodes are written.
 */
export interface Translation {
  /** The operations with the ids of characters as they are now, and those that hang on characters that are gone. */
  apply (ops: readonly Op[]): { kept: Op[], dropped: Op[] }
  /** Notes what became of the characters that `ops` inserted; `now` is the node they are in, null when they are gone. */
  note (ops: readonly Op[], was: OpId, now: OpId | null): void
  /** The id of a character as it is now; null when it is gone. */
  find (key: string, id: OpId): OpId | null
  /** Every run of characters that lives on under other ids. */
  renamed (): Renamed[]
}

export function createTranslation (): Translation {
  const texts = new Map<string, { key: string, author: Uint8Array, runs: Run[] }>()
  const place = (key: string, author: Uint8Array): string => String.fromCharCode(...author) + key

  function find (key: string, id: OpId): OpId | null {
    const run = runAt(texts.get(place(key, id.author))?.runs ?? [], id.lamport)
    if (run === undefined) return id
    return run.now === null ? null : { lamport: run.now.lamport + id.lamport - run.from, author: run.now.author }
  }

  /** The operation with its ids as they are now, or null. */
  function moved (op: Op): Op | null {
    if (!isText(op)) return op
    const id = reference(op)
    if (id === null) return op
    const now = find(op.key, id)
    return now === null ? null : pointing(op, now)
  }

  return {
    apply (ops) {
      const kept: Op[] = []
      const dropped: Op[] = []
      for (const op of ops) {
        const now = moved(op)
        if (now === null) dropped.push(op)
        else kept.push(now)
      }
      return { kept, dropped }
    },
    note (ops, was, now) {
      for (const op of ops) {
        if (op.type !== 'text-insert' && op.type !== 'text-insert-range') continue
        const name = place(op.key, was.author)
        const own = texts.get(name) ?? { key: op.key, author: was.author, runs: [] }
        const to = was.lamport + extraLamports(op)
        const last = own.runs.at(-1)
        if (last?.from === was.lamport) last.to = Math.max(last.to, to)
        else own.runs.push({ from: was.lamport, to, now })
        texts.set(name, own)
      }
    },
    find,
    renamed: () => [...texts.values()].flatMap(({ key, author, runs }) => runs.flatMap(({ from, to, now }) =>
      now === null ? [] : [{ key, author, lamport: from, length: to - from + 1, to: now }]))
  }
}

function runAt (runs: readonly Run[], lamport: number): Run | undefined {
  let low = 0
  let high = runs.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (runs[middle].to < lamport) low = middle + 1
    else high = middle
  }
  const run = runs.at(low)
  return run !== undefined && run.from <= lamport ? run : undefined
}

function isText (op: Op): op is TextOp {
  return op.type.startsWith('text-')
}

/** The character an operation points at. */
function reference (op: TextOp): OpId | null {
  if (op.type === 'text-insert') return op.after
  if (op.type === 'text-delete') return op.target
  return op.anchor.at === 'after' ? op.anchor.id : null
}

function pointing (op: TextOp, id: OpId): TextOp {
  if (op.type === 'text-insert') return { ...op, after: id }
  if (op.type === 'text-delete') return { ...op, target: id }
  return { ...op, anchor: { at: 'after', id } }
}
