import { compareBytes } from '../../lib/protocol/bytes.js'
import type { Anchor, OpId, TextOp } from '../../lib/protocol/op.js'

export interface Written { id: Uint8Array, author: Uint8Array, lamport: number, ops: TextOp[] }

interface Char { id: OpId, text: string, deleted: boolean }

const name = (id: OpId): string => `${id.lamport}:${Buffer.from(id.author).toString('hex')}`
const compareIds = (a: OpId, b: OpId): number => a.lamport - b.lamport || compareBytes(a.author, b.author)

/** The text rules written down as plainly as they can be (spec/wire-format.md §9): what the engine is compared with. */
export class NaiveText {
  chars: Char[] = []
  pending = new Set<string>()
  waiting = new Map<string, { id: OpId, after: OpId, text: string }[]>()

  /** The nodes once each in canonical order. */
  static order (nodes: readonly Written[]): Written[] {
    return [...nodes]
      .sort((a, b) => a.lamport - b.lamport || compareBytes(a.author, b.author) || compareBytes(a.id, b.id))
      .filter((node, i, all) => i === 0 || compareBytes(node.id, all[i - 1].id) !== 0)
  }

  static canonical (nodes: readonly Written[]): NaiveText {
    const text = new NaiveText()
    for (const node of NaiveText.order(nodes)) for (const op of node.ops) text.apply(node, op)
    return text
  }

  get visible (): Char[] { return this.chars.filter((char) => !char.deleted) }
  toString (): string { return this.visible.map((char) => char.text).join('') }

  apply (node: Written, op: TextOp): void {
    const own = { lamport: node.lamport, author: node.author }
    if (op.type === 'text-insert') this.insertChar(own, op.after, op.char)
    else if (op.type === 'text-delete') this.deleteChar(op.target)
    else if (op.type === 'text-insert-range') {
      const index = this.resolve(op.anchor)
      let after = index === 0 ? null : this.visible[index - 1].id
      let j = 0
      for (const scalar of op.text) {
        const id = { lamport: node.lamport + j++, author: node.author }
        this.insertChar(id, after, scalar)
        after = id
      }
    } else {
      const index = this.resolve(op.anchor)
      for (const char of this.visible.slice(index, index + op.count)) char.deleted = true
    }
  }

  index (id: OpId): number { return this.chars.findIndex((char) => compareIds(char.id, id) === 0) }

  resolve (anchor: Anchor): number {
    const visible = this.visible
    if (anchor.at === 'start') return 0
    if (anchor.at === 'end') return visible.length
    if (anchor.at === 'offset') return Math.min(anchor.offset, visible.length)
    const index = visible.findIndex((char) => compareIds(char.id, anchor.id) === 0)
    return index < 0 ? visible.length : index + 1
  }

  insertChar (id: OpId, after: OpId | null, text: string): void {
    const buffered = [...this.waiting.values()].some((list) => list.some((entry) => name(entry.id) === name(id)))
    if (this.index(id) >= 0 || buffered) return
    if (after !== null && this.index(after) < 0) {
      this.waiting.set(name(after), [...this.waiting.get(name(after)) ?? [], { id, after, text }])
      return
    }
    const stack: { id: OpId, after: OpId | null, text: string }[] = [{ id, after, text }]
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      this.place(next.id, next.after, next.text)
      stack.push(...this.waiting.get(name(next.id)) ?? [])
      this.waiting.delete(name(next.id))
    }
  }

  place (id: OpId, after: OpId | null, text: string): void {
    let i = after === null ? 0 : this.index(after) + 1
    while (i < this.chars.length && compareIds(this.chars[i].id, id) > 0) i++
    this.chars.splice(i, 0, { id, text, deleted: this.pending.delete(name(id)) })
  }

  deleteChar (id: OpId): void {
    const index = this.index(id)
    if (index >= 0) this.chars[index].deleted = true
    else this.pending.add(name(id))
  }
}
