import { NodalmergeError } from '../errors.js'
import { toHex, fromHex } from './hex.js'
import type { MessageOf } from './message.js'

/** A write policy (spec/wire-format.md §12.1). Keys are lower-case hexadecimal; nothing enforces the last two lists of a rule. */
export interface WritePolicy {
  rules: { pathGlob: string, canWrite: string[], canRead: string[], canDerive: string[] }[]
  default: 'allow' | 'deny'
}

type Rule = WritePolicy['rules'][number]

/** Bytes a path glob may have: matching takes time in its length, for every operation. */
const MAX_GLOB = 512

/** Reads a `set-policy` (spec/session-protocol.md §5.2). Throws `reject.protocol_invalid_field` with the exact text of that section. */
export function readPolicy (message: MessageOf<'set-policy'>): WritePolicy {
  const otherwise = typeof message.default === 'string' ? message.default : 'allow'
  if (otherwise !== 'allow' && otherwise !== 'deny') throw invalid(`unknown default '${otherwise}', use 'allow' or 'deny'`)
  const rules: unknown[] = Array.isArray(message.rules) ? message.rules : []
  return { rules: rules.map(readRule), default: otherwise }
}

function readRule (rule: unknown): Rule {
  const { path_glob: pathGlob, can_write: writers }: { path_glob?: unknown, can_write?: unknown } = Object(rule)
  if (typeof pathGlob !== 'string') throw invalid("each rule must have a 'path_glob' string")
  if (pathGlob.length > MAX_GLOB) throw invalid(`a 'path_glob' is longer than ${MAX_GLOB} characters`)
  return { pathGlob, canWrite: Array.isArray(writers) ? writers.map(readWriter) : [], canRead: [], canDerive: [] }
}

function readWriter (entry: unknown): string {
  const key = fromHex(entry, 32)
  if (key === null) throw invalid(`invalid pubkey hex '${typeof entry === 'string' ? entry : ''}'`)
  return toHex(key)
}

function invalid (what: string): NodalmergeError {
  return new NodalmergeError('reject.protocol_invalid_field', `set-policy: ${what}`)
}
