import type { RoomState, StoredPolicy } from '../store/node-store.js'
import { policyGlobBytes } from '../protocol/glob.js'

/** A write policy ready to be asked (spec/wire-format.md §12.2). */
export interface Policy {
  /** Everybody may write everything; spares the walk over the keys. */
  readonly open: boolean
  /** Whether the author (64 lower-case hex) may write the key `bytes[start .. end)`: the first rule that matches decides. */
  canWrite (bytes: Uint8Array, start: number, end: number, author: string): boolean
}

/** What an open room without rules starts with (spec/session-protocol.md §5.2). */
export const OPEN_STATE: RoomState = {
  key: null,
  timeline: [{ effectiveLamport: 0, policy: { rules: [], default: 'allow' } }]
}

export function compilePolicy (stored: StoredPolicy): Policy {
  const rules = stored.rules.map((rule) => ({ matches: policyGlobBytes(rule.pathGlob), writers: new Set(rule.canWrite) }))
  const otherwise = stored.default === 'allow'
  return {
    open: rules.length === 0 && otherwise,
    canWrite (bytes, start, end, author) {
      for (const rule of rules) if (rule.matches(bytes, start, end)) return rule.writers.has(author)
      return otherwise
    }
  }
}

export function currentPolicy (state: RoomState): StoredPolicy {
  return state.timeline[state.timeline.length - 1].policy
}

/** The state after one more policy; cut-overs are numbered 0, 1, 2, … as the published vectors have them (design §5 row 23). */
export function withPolicy (state: RoomState, policy: StoredPolicy): RoomState {
  const last = state.timeline[state.timeline.length - 1]
  return { ...state, timeline: [...state.timeline, { effectiveLamport: last.effectiveLamport + 1, policy }] }
}
