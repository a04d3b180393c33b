import type { Blake3 } from '../protocol/blake3.js'
import { policyGlob } from '../protocol/glob.js'
import { fromHex, toHex } from '../protocol/hex.js'
import { count } from '../protocol/node.js'
import type { WritePolicy } from '../protocol/policy.js'
import {
  type Cursor, type Writer, cursor, malformed, readString, readVarint, readVarint32, skip, take, writeRaw, writeString, writeVarint,
  writer
} from '../protocol/postcard.js'

type PolicyRule = WritePolicy['rules'][number]

/** A policy from a cut-over on, inclusive. The server numbers them 0, 1, 2, … (design §5, row 23). */
export interface TimelineEntry { effectiveLamport: number, policy: WritePolicy }

export type Timeline = readonly TimelineEntry[]

/** Everyone may write everything (spec/wire-format.md §12.1). */
export const OPEN_POLICY: WritePolicy = { rules: [], default: 'allow' }

/** The timeline a room starts with (§12.5). */
export const NEW_ROOM_TIMELINE: Timeline = [{ effectiveLamport: 0, policy: OPEN_POLICY }]

/** Whether an author, as 64 lower-case hexadecimal digits, may write a key. */
export type CanWrite = (key: string, author: string) => boolean

/** A policy ready to be asked about many keys: the first rule whose glob matches decides, then the default (§12.2). */
export function compilePolicy (policy: WritePolicy): CanWrite {
  const rules = policy.rules.map((rule) => ({ matches: policyGlob(rule.pathGlob), authors: new Set(rule.canWrite) }))
  return (key, author) => {
    const rule = rules.find(({ matches }) => matches(key))
    return rule === undefined ? policy.default === 'allow' : rule.authors.has(author)
  }
}

/** The entries by cut-over; entries of equal cut-over keep their order. */
function ordered (timeline: Timeline): TimelineEntry[] {
  return [...timeline].sort((a, b) => a.effectiveLamport - b.effectiveLamport)
}

/** The policy for a node: the last one in force at its lamport, everything allowed before the first (§12.5). */
export function policyAt (timeline: Timeline, lamport: number): WritePolicy {
  return ordered(timeline).findLast((entry) => entry.effectiveLamport <= lamport)?.policy ?? OPEN_POLICY
}

/** The greatest cut-over, or null when there is none. */
export function cutover (timeline: Timeline): number | null {
  return timeline.length === 0 ? null : timeline.reduce((greatest, entry) => Math.max(greatest, entry.effectiveLamport), 0)
}

/** The distinct cut-overs in order, `[0]` when the greatest is 0 (spec/control-plane.md §6.4). */
export function transitions (timeline: Timeline): number[] {
  return [...new Set(ordered(timeline).map((entry) => entry.effectiveLamport))]
}

/** BLAKE3 over the encoded timeline. */
export function timelineHash (timeline: Timeline, blake3: Blake3): Uint8Array {
  return blake3.hash(encodeTimeline(timeline))
}

/** Postcard of the entries by cut-over. Throws RangeError for a value the format cannot carry. */
export function encodeTimeline (timeline: Timeline): Uint8Array {
  const w = writer(64)
  writeVarint(w, timeline.length)
  for (const { effectiveLamport, policy } of ordered(timeline)) {
    writeVarint(w, effectiveLamport)
    writeVarint(w, policy.rules.length)
    for (const rule of policy.rules) writeRule(w, rule)
    writeVarint(w, policy.default === 'allow' ? 0 : 1)
  }
  return take(w)
}

function writeRule (w: Writer, rule: PolicyRule): void {
  writeString(w, rule.pathGlob)
  for (const keys of [rule.canWrite, rule.canRead, rule.canDerive]) {
    writeVarint(w, keys.length)
    for (const key of keys) writeRaw(w, fromHex(key, 32) ?? badKey())
  }
}

function badKey (): never {
  throw new RangeError('an author is 64 hexadecimal digits')
}

/** Reads an encoded timeline. Throws `reject.protocol_invalid_message`. */
export function decodeTimeline (bytes: Uint8Array): TimelineEntry[] {
  const c = cursor(bytes)
  return list(c, 3, () => {
    const effectiveLamport = readVarint(c)
    const rules = list(c, 4, () => readRule(c))
    const variant = readVarint32(c)
    if (variant > 1) throw malformed('unknown policy default')
    return { effectiveLamport, policy: { rules, default: variant === 0 ? 'allow' as const : 'deny' as const } }
  })
}

function readRule (c: Cursor): PolicyRule {
  const keys = (): string[] => list(c, 32, () => {
    const start = skip(c, 32)
    return toHex(c.bytes.subarray(start, c.pos))
  })
  return { pathGlob: readString(c), canWrite: keys(), canRead: keys(), canDerive: keys() }
}

/** A counted list whose elements take at least `least` bytes each. */
function list<T> (c: Cursor, least: number, read: () => T): T[] {
  return Array.from({ length: count(c, least) }, read)
}
