import type { SignatureJob } from '../protocol/crypto.js'
import type { SignatureCheck } from './ed25519.js'

/** What travels to a worker for one signature: public key (32), signature (64), id (32). */
export const ITEM_LENGTH = 128

/** One call of `verify` on its way. */
export interface Call { jobs: readonly SignatureJob[], answers: boolean[], left: number, resolve: (answers: boolean[]) => void }

/** The jobs `from` to `to` of a call. */
export interface Part { call: Call, from: number, to: number }

/** What one worker gets at once. */
export type Batch = readonly Part[]

export function size (parts: readonly Part[]): number {
  return parts.reduce((sum, { from, to }) => sum + to - from, 0)
}

/** The parts as batches of at most `most` jobs. */
export function cut (parts: readonly Part[], most: number): Batch[] {
  const batches: Part[][] = []
  let room = 0
  for (const { call, from, to } of parts) {
    for (let at = from; at < to;) {
      if (room === 0) {
        batches.push([])
        room = most
      }
      const end = Math.min(to, at + room)
      batches[batches.length - 1].push({ call, from: at, to: end })
      room -= end - at
      at = end
    }
  }
  return batches
}

/** A key, a signature or an id of the wrong length is no signature over an id; its item stays zero, which is refused. */
export function packBatch (batch: Batch): Uint8Array<ArrayBuffer> {
  const items = new Uint8Array(size(batch) * ITEM_LENGTH)
  let at = 0
  for (const { call, from, to } of batch) {
    for (let i = from; i < to; i++, at += ITEM_LENGTH) if (isWellFormed(call.jobs[i])) packItem(items, at, call.jobs[i])
  }
  return items
}

function isWellFormed ({ author, signature, id }: SignatureJob): boolean {
  return author.length === 32 && signature.length === 64 && id.length === 32
}

function packItem (items: Uint8Array, at: number, { author, signature, id }: SignatureJob): void {
  items.set(author, at)
  items.set(signature, at + 32)
  items.set(id, at + 96)
}

/** The worker's work: verifies every item and writes the answers, 1 or 0, into the first bytes of the same buffer. */
export function answerItems (items: Uint8Array, check: SignatureCheck): void {
  for (let i = 0; i < items.length / ITEM_LENGTH; i++) {
    const item = items.subarray(i * ITEM_LENGTH, (i + 1) * ITEM_LENGTH)
    // Byte i lies in an item that has been answered, because an item is longer than its answer.
    items[i] = check(item.subarray(0, 32), item.subarray(96), item.subarray(32, 96)) ? 1 : 0
  }
}

export function settleBatch (batch: Batch, answers: Uint8Array): void {
  let next = 0
  for (const { call, from, to } of batch) {
    for (let i = from; i < to; i++) call.answers[i] = answers[next++] === 1
    settle(call, to - from)
  }
}

/** Verifies here until `due` says so, one job at least, and returns what is left. */
export function verifyHere (parts: readonly Part[], check: SignatureCheck, due: () => boolean): Part[] {
  for (const [i, { call, from, to }] of parts.entries()) {
    for (let at = from; at < to; at++) {
      const job = call.jobs[at]
      call.answers[at] = isWellFormed(job) && check(job.author, job.id, job.signature)
      settle(call, 1)
      if (due()) return [{ call, from: at + 1, to }, ...parts.slice(i + 1)].filter((part) => part.from < part.to)
    }
  }
  return []
}

function settle (call: Call, count: number): void {
  call.left -= count
  if (call.left === 0) call.resolve(call.answers)
}
