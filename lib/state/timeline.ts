import type { Blake3 } from '../protocol/blake3.js'
import { compareBytes } from '../protocol/bytes.js'
import { count } from '../protocol/node.js'
import { type Cursor, type Writer, cursor, malformed, readString, readVarint, readVarint32, skip, take, writeRaw, writeString, writeVarint, writer } from '../protocol/postcard.js'

/** One rule of a write policy: which authors may write the keys a glob matches (spec/wire-format.md §12.1). Keys are 32 bytes. */
export interface PolicyRule {
  glob: string
  canWrite: Uint8Array[]
  /** Kept and hashed, enforced nowhere (§12.2). */
  canRead: Uint8Array[]
  /** Kept and hashed, enforced nowhere. */
  canDerive: Uint8Array[]
}

/** The first rule whose glob matches decides; when none does, the default. */
export interface Policy { rules: PolicyRule[], default: 'allow' | 'deny' }

/** A policy from a cut-over on, inclusive. The server numbers them 0, 1, 2, … (design §5, row 23). */
export interface TimelineEntry { effectiveLamport: number, policy: Policy }

export type Timeline = readonly TimelineEntry[]

/** Everyone may write everything. */
export const OPEN_POLICY: Policy = { rules: [], default: 'allow' }

/** The timeline a room starts with (§12.5). */
export const NEW_ROOM_TIMELINE: Timeline = [{ effectiveLamport: 0, policy: OPEN_POLICY }]

/** Compiles a glob once: the policy matcher of §12.3, not the one of subscriptions. */
export type GlobMatcher = (pattern: string) => (key: string) => boolean

export type CanWrite = (key: string, author: Uint8Array) => boolean

/** A policy ready to be asked about many keys (§12.2). A matching rule without authors denies everyone. */
export function compilePolicy (policy: Policy, glob: GlobMatcher): CanWrite {
  const rules = policy.rules.map((rule) => ({ matches: glob(rule.glob), authors: rule.canWrite }))
  return (key, author) => {
    const rule = rules.find(({ matches }) => matches(key))
    if (rule === undefined) return policy.default === 'allow'
    return rule.authors.some((allowed) => compareBytes(allowed, author) === 0)
  }
}

/** The entries by cut-over; entries of equal cut-over keep their order. */
function ordered (timeline: Timeline): TimelineEntry[] {
  return [...timeline].sort((a, b) => a.effectiveLamport - b.effectiveLamport)
}

/** The policy for a node: the last one in force at its lamport, everything allowed before the first (§12.5). */
export function policyAt (timeline: Timeline, lamport: number): Policy {
  return ordered(timeline).findLast((entry) => entry.effectiveLamport <= lamport)?.policy ?? OPEN_POLICY
}

/** The timeline with one more policy, in force from the next number on. */
export function withPolicy (timeline: Timeline, policy: Policy): TimelineEntry[] {
  const last = cutover(timeline)
  return [...timeline, { effectiveLamport: last === null ? 0 : last + 1, policy }]
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
  writeString(w, rule.glob)
  for (const keys of [rule.canWrite, rule.canRead, rule.canDerive]) {
    writeVarint(w, keys.length)
    for (const key of keys) {
      if (key.length !== 32) throw new RangeError('an author has 32 bytes')
      writeRaw(w, key)
    }
  }
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
  const keys = (): Uint8Array[] => list(c, 32, () => {
    const start = skip(c, 32)
    return c.bytes.slice(start, c.pos)
  })
  return { glob: readString(c), canWrite: keys(), canRead: keys(), canDerive: keys() }
}

/** A counted list whose elements take at least `least` bytes each. */
function list<T> (c: Cursor, least: number, read: () => T): T[] {
  return Array.from({ length: count(c, least) }, read)
}
