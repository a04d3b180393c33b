import type { EditedText } from '../../lib/client/codemirror.js'
import type { Splice } from '../../lib/client/codemirror-splices.js'

/** A text on its own, with anchors that move as the real ones do: a position keeps to the character behind it. */
export interface PlainText extends EditedText {
  /** A change that is not this editor's. */
  receive (...splices: Splice[]): void
  /** Runs `write` as one transaction: what it changes is told at its end. */
  transact (write: () => void): void
  readonly applied: ReadonlyArray<readonly Splice[]>
}

export function createPlainText (content = ''): PlainText {
  const listeners = new Set<(event: { splices: readonly Splice[] }) => void>()
  const anchors: Array<{ at: number }> = []
  const applied: Array<readonly Splice[]> = []
  let held: Splice[] | null = null

  function edit (splices: readonly Splice[]): void {
    for (const { position, deleted, inserted } of splices) {
      content = (content.slice(0, position) + inserted + content.slice(position + deleted)).replace(/\p{Cs}/gu, '\ufffd')
      for (const anchor of anchors) {
        if (anchor.at >= position + deleted) anchor.at += inserted.length - deleted
        else if (anchor.at > position) anchor.at = position + inserted.length
      }
    }
    if (held !== null) held.push(...splices)
    else for (const listen of [...listeners]) listen({ splices })
  }

  return {
    get length () { return content.length },
    toString: () => content,
    applied,
    apply (splices) {
      applied.push(splices)
      edit(splices)
    },
    receive: (...splices) => edit(splices),
    transact (write) {
      held = []
      write()
      const splices = held
      held = null
      for (const listen of [...listeners]) listen({ splices })
    },
    observe (listen) {
      listeners.add(listen)
      return () => { listeners.delete(listen) }
    },
    anchor (at) {
      anchors.push({ at })
      return { id: anchors.length - 1 }
    },
    resolve: (anchor) => anchors[Number(Reflect.get(Object(anchor), 'id'))]?.at ?? null
  }
}
