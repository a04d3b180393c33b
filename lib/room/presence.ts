import { NodalmergeError } from '../errors.js'
import type { Clock } from './clock.js'
import { frame } from './frame.js'
import type { Room } from './room.js'
import type { Session } from './session.js'

/** What a `presence` or `presence-set` message says; lease fields are null when absent, undefined when unreadable. */
export interface PresenceUpdate { data: unknown, ttlMs: number | null }

/** The newest presence value of every session of a room. Never stored; not filtered; self-exclusion is by connection (design §5 row 19). */
export interface PresenceBoard {
  /** `named` adds the room and the session to the broadcast, as `presence-set` has it (spec/session-protocol.md §4.1). */
  set (session: Session, update: PresenceUpdate, named: boolean): void
  /** Entries for `presence-snapshot`. */
  entries (): object[]
  /** Drops values whose lease has run out by the server's clock. */
  expire (now: number): void
  leave (session: Session): void
}

interface Entry { session: Session, data: unknown, expiresAt: number | null }

export function createPresence (room: Room, clock: Clock): PresenceBoard {
  const held = new Map<number, Entry>()

  function tellOthers (about: Session, message: object, key?: string): void {
    const encoded = frame(message)
    for (const session of room.sessions) if (session !== about) session.outbox.broadcast(encoded, key)
  }

  function drop (entry: Entry, reason: 'leave' | 'stale'): void {
    const { id, peer } = entry.session
    held.delete(id)
    tellOthers(entry.session, { type: 'presence-leave', room: room.id, session_id: id, from: peer.pubkey, reason })
  }

  return {
    set (session, { data, ttlMs }, named) {
      const joined = !held.has(session.id)
      held.set(session.id, { session, data, expiresAt: ttlMs === null ? null : clock.now() + ttlMs })
      const about = named ? { room: room.id, session_id: session.id, joined } : {}
      // A peer's next value makes one that still waits for a slow reader pointless, save for the first, which says `joined`.
      const key = named && joined ? undefined : `presence ${session.id}`
      tellOthers(session, { type: 'presence', from: session.peer.pubkey, data, ...about }, key)
    },
    entries: () => [...held.values()].map(({ session, data, expiresAt }) => ({
      session_id: session.id,
      from: session.peer.pubkey,
      from_peer_pubkey: session.peer.pubkey,
      peerId: session.peer.peerId,
      data,
      expires_at_ms: expiresAt,
      expires_at_unix_ms: expiresAt
    })),
    expire (now) {
      for (const entry of held.values()) if (entry.expiresAt !== null && entry.expiresAt <= now) drop(entry, 'stale')
    },
    leave (session) {
      const entry = held.get(session.id)
      if (entry !== undefined) drop(entry, 'leave')
    }
  }
}

/**
 * Checks the lease fields of a presence message in the published order and with the published texts (spec/session-protocol.md §4.1).
 * Absent fields are undefined; a present null is as wrong as any other value that is not a number.
 */
export function checkLease (ttl: unknown, now: unknown): void {
  const whole = (value: unknown, least: number): boolean => Number.isInteger(value) && Number(value) >= least
  const wrong = ttl !== undefined && !whole(ttl, 1)
    ? 'ttl_ms_must_be_positive_u64'
    : now !== undefined && !whole(now, 0)
      ? 'now_unix_ms_must_be_u64'
      : ttl !== undefined && now === undefined
        ? 'ttl_ms_requires_now_unix_ms'
        : now !== undefined && ttl === undefined ? 'now_unix_ms_requires_ttl_ms' : null
  if (wrong !== null) throw new NodalmergeError('reject.presence_lease_invalid', `reject.presence_lease_invalid:${wrong}`)
}
