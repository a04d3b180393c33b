import type { Conflict } from '../state/conflict.js'
import type { BlobEvent } from './blobs.js'
import type { Rejection } from './core.js'
import type { ChangeEvent } from './event.js'
import { createListeners, type Listeners } from './listeners.js'
import type { PresenceEvent } from './presence.js'
import type { Status } from './status.js'

/** Somebody joined the room with a key nobody else was there with, or the last session of a key left. */
export interface PeerEvent { type: 'joined' | 'left', pubkey: string, peerId: string, peerType: string }

export interface DocEvents {
  change: ChangeEvent
  status: Status
  /** The server refused a write, which was taken out of the document. */
  rejection: Rejection
  /** One of two concurrent writes of different authors lost. */
  conflict: Conflict
  presence: PresenceEvent<object>
  peer: PeerEvent
  blob: BlobEvent
  /** Something that needs no answer: a frame or node that could not be used, a token that could not be had, storage that fails. */
  error: unknown
}

export type EventName = keyof DocEvents

export interface DocFeed {
  on<Name extends EventName> (name: Name, listen: (event: DocEvents[Name]) => void): () => void
  tell<Name extends EventName> (name: Name, event: DocEvents[Name]): void
  /** From now on somebody can listen: tells the faults so far. */
  open (): void
}

const NAMES: readonly EventName[] = ['change', 'status', 'rejection', 'conflict', 'presence', 'peer', 'blob', 'error']

/** The events of one document. Faults nobody listens to go to `logger`. */
export function createDocFeed (logger: Pick<Console, 'warn'>): DocFeed {
  let errors = 0
  let early: unknown[] = []
  let opened = false
  const fault = (error: unknown): void => {
    if (!opened) early.push(error)
    else if (errors > 0) feeds.error.tell(error)
    else logger.warn('nodalmerge:', error)
  }
  /** What a listener for faults throws cannot go to listeners for faults. */
  const last = (error: unknown): void => { logger.warn('nodalmerge:', error) }
  const feeds = Object.fromEntries(NAMES.map((name) => [name, createListeners(name === 'error' ? last : fault)])) as { [Name in EventName]: Listeners<[DocEvents[Name]]> }

  return {
    on (name, listen) {
      if (!NAMES.includes(name)) throw new RangeError(`there is no event ${String(name)}`)
      if (typeof listen !== 'function') throw new TypeError('a listener is a function')
      const stop = feeds[name].add(listen)
      if (name !== 'error') return stop
      errors++
      let counted = true
      return () => {
        stop()
        if (counted) errors--
        counted = false
      }
    },
    tell (name, event) {
      if (name === 'error') fault(event)
      else feeds[name].tell(event)
    },
    open () {
      opened = true
      early.forEach(fault)
      early = []
    }
  }
}
