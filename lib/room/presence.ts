import type { SentMessage } from '../protocol/server-message.js'
import type { Clock } from '../clock.js'
import { frame } from './frame.js'
import type { Room } from './room.js'
import type { Session } from './session.js'

/** What a `presence` or `presence-set` message says; without a lease `ttlMs` is null. */
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

  function tellOthers (about: Session, message: SentMessage, key?: string): void {
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
