import { NodalmergeError } from '../errors.js'
import { utf8Encode } from './postcard.js'

/** Limits of a hello and of a subscription (spec/session-protocol.md §1.3), sizes in bytes. */
export const HELLO_LIMITS = Object.freeze({ frame: 1024 * 1024, patterns: 256, pattern: 512, name: 256 })

/** Deepest nesting of client-made JSON. The reference's reader stops there, and ours must not overflow a stack when it writes it. */
const MAX_DEPTH = 128

interface Named { type: string, pubkey: string, peer_id?: string | undefined, peer_type: string, subscribe: readonly string[] }

/** Throws when a hello is beyond its limits; returns it. */
export function checkHello<Hello extends Named> (hello: Hello, frame: string): Hello {
  if (frame.length > HELLO_LIMITS.frame) throw new NodalmergeError('reject.protocol_message_too_large')
  for (const field of ['pubkey', 'peer_id', 'peer_type'] as const) {
    if (longerThan(hello[field] ?? '', HELLO_LIMITS.name)) throw tooLong(`hello: ${field}`, `${HELLO_LIMITS.name} bytes`)
  }
  checkList('hello', hello.subscribe)
  return hello
}

export function checkPatterns<Message extends { type: string, patterns: readonly string[] }> (message: Message): Message {
  checkList(message.type, message.patterns)
  return message
}

function checkList (type: string, patterns: readonly string[]): void {
  if (patterns.length > HELLO_LIMITS.patterns) throw tooLong(`${type}: the subscription`, `${HELLO_LIMITS.patterns} patterns`)
  if (patterns.some((pattern) => longerThan(pattern, HELLO_LIMITS.pattern))) throw tooLong(`${type}: a pattern`, `${HELLO_LIMITS.pattern} bytes`)
}

function tooLong (what: string, limit: string): NodalmergeError {
  return new NodalmergeError('reject.protocol_invalid_field', `${what} is longer than ${limit}`)
}

/** Whether the text takes more than `limit` bytes of UTF-8; a text that cannot is not encoded to find out. */
function longerThan (text: string, limit: number): boolean {
  return text.length > limit || (text.length * 3 > limit && utf8Encode(text).length > limit)
}

/** Throws `reject.presence_lease_invalid` with the exact text unless both lease fields are absent or both are right (§4.1). */
export function checkPresence (message: Readonly<Record<string, unknown>>): void {
  if (message.type === 'presence-sweep') return
  const { ttl_ms: ttl, now_unix_ms: now } = message
  if (ttl !== undefined && !(isUnsigned(ttl) && ttl > 0)) throw badLease('ttl_ms_must_be_positive_u64')
  if (now !== undefined && !isUnsigned(now)) throw badLease('now_unix_ms_must_be_u64')
  if (ttl !== undefined && now === undefined) throw badLease('ttl_ms_requires_now_unix_ms')
  if (now !== undefined && ttl === undefined) throw badLease('now_unix_ms_requires_ttl_ms')
}

function isUnsigned (value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0
}

function badLease (why: string): NodalmergeError {
  return new NodalmergeError('reject.presence_lease_invalid', `reject.presence_lease_invalid:${why}`)
}

/** Whether JSON is nested deeper than 128, found out level by level: no stack to overflow. */
export function tooDeep (value: object): boolean {
  let level = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) return true
    level = level.flatMap((entry) => Object.values(entry).filter(isNested))
  }
  return false
}

function isNested (value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
