import { frame } from './frame.js'
import type { Room } from './room.js'
import type { Session } from './session.js'

/** Who is in a room, counted per public key: two tabs of one peer join once and leave once (spec/session-protocol.md §1.10). */
export interface Members {
  /** Distinct public keys, without `except`. */
  others (except: string): string[]
  join (session: Session): void
  leave (session: Session): void
}

export function createMembers (room: Room): Members {
  const counts = new Map<string, number>()

  function tell (type: 'peer-joined' | 'peer-left', about: Session): void {
    const { pubkey, peerId, peerType } = about.peer
    const message = frame({ type, from: pubkey, pubkey, peer_id: peerId, peer_type: peerType })
    for (const session of room.sessions) if (session !== about) session.outbox.broadcast(message)
  }

  return {
    others: (except) => [...counts.keys()].filter((pubkey) => pubkey !== except),
    join (session) {
      const count = (counts.get(session.peer.pubkey) ?? 0) + 1
      counts.set(session.peer.pubkey, count)
      if (count === 1) tell('peer-joined', session)
    },
    leave (session) {
      const count = counts.get(session.peer.pubkey)
      if (count !== undefined && count > 1) {
        counts.set(session.peer.pubkey, count - 1)
      } else {
        counts.delete(session.peer.pubkey)
        tell('peer-left', session)
      }
    }
  }
}
