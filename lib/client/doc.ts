import type { Readable } from './readable.js'
import type { Blobs } from './blobs.js'
import { type Assembly, assemble } from './assembly.js'
import { breathe } from './breath.js'
import { NodalmergeError } from '../errors.js'
import type { DocEvents, EventName } from './doc-event.js'
import type { Handles } from './handles.js'
import { type DocOptions, checkOptions } from './options.js'
import type { Presence } from './presence.js'
import type { Status } from './status.js'
import { type WaitOptions, waitFor } from './wait.js'

/**
 * A room as one of its users has it: readable and writable at once, with or without a connection, the same in a browser and in Node
 * (spec/client.md §10). Everything written is applied here first, kept in storage, then sent.
 */
export interface Doc extends Pick<Handles, 'map' | 'transact' | 'undoManager' | 'canonical'> {
  readonly room: string
  /** The user's public key in hexadecimal. */
  readonly pubkey: string
  /** The key this instance writes with: another one in a second tab of the same user, because a key has one writer. */
  readonly author: string
  /** The number of the present session; null without one. */
  readonly sessionId: number | null
  readonly status: Readable<Status>
  /** Who is here and what they show. */
  presence<State extends object = Record<string, unknown>> (): Presence<State>
  readonly blobs: Blobs
  on<Name extends EventName> (name: Name, listen: (event: DocEvents[Name]) => void): () => void
  /** Resolves once the server holds everything of ours and everything it had to send is here. */
  whenSynced (options?: WaitOptions): Promise<void>
  /** Resolves once everything written so far is durable on the server. */
  flush (options?: WaitOptions): Promise<void>
  /** Resolves once everything written so far is in local storage. Rejects with `client.storage` while that fails. */
  saved (): Promise<void>
  /** The text under a key. Throws `client.out_of_scope` when the key is not followed. */
  text: Handles['text']
  /** The list under a key. Throws like `text`. */
  list: Handles['list']
  /**
   * Replaces the patterns of what is followed; none means everything. What they let in is fetched, over a new connection when history
   * may have been left out; what is here already stays.
   */
  subscribe (patterns: readonly string[]): void
  connect (): void
  disconnect (): void
  /** Gets another token and connects with it, also after a refusal. */
  reauth (): void
  /** Brings what is left into storage and ends everything. What the server does not have yet is sent the next time. */
  close (): Promise<void>
  [Symbol.asyncDispose] (): Promise<void>
}

/**
 * Opens a room. Resolves when what is kept locally is there; a server is not needed. Throws TypeError and RangeError for wrong options.
 */
export async function createDoc (options: DocOptions): Promise<Doc> {
  checkOptions(options)
  const { signal } = options
  signal?.throwIfAborted()
  const parts = await assemble(options)
  const aborted = (): void => { close().catch((error: unknown) => { parts.feed.tell('error', error) }) }
  const close = (): Promise<void> => {
    signal?.removeEventListener('abort', aborted)
    return parts.close()
  }
  if (signal?.aborted === true) {
    await close()
    throw signal.reason
  }
  signal?.addEventListener('abort', aborted)
  if (options.connect !== false) parts.link.connect()
  parts.status.settle()
  // Whoever waits for the document can listen by then.
  breathe().then(parts.feed.open)
  return docOf(options.room, parts, close)
}

function docOf (room: string, parts: Assembly, close: () => Promise<void>): Doc {
  const { handles, link, status } = parts
  return {
    room,
    pubkey: parts.pubkey,
    author: parts.author,
    get sessionId () { return parts.session() },
    status,
    map: handles.map,
    text: parts.text,
    list: parts.list,
    transact: handles.transact,
    undoManager: handles.undoManager,
    canonical: handles.canonical,
    presence: parts.presence,
    blobs: parts.blobs,
    on: parts.feed.on,
    ...waitsOf(parts),
    subscribe: parts.subscribe,
    connect: link.connect,
    disconnect: link.disconnect,
    reauth: link.reauth,
    close,
    [Symbol.asyncDispose]: close
  }
}

/** What is waited for is looked at as it is now, not as it was last told. */
function waitsOf ({ handles, status, sync, clock }: Assembly): Pick<Doc, 'whenSynced' | 'flush' | 'saved'> {
  return {
    async whenSynced (wait) {
      status.settle()
      await waitFor(status, ({ synced }) => synced, clock, wait)
    },
    async flush (wait) {
      handles.flush()
      status.settle()
      await waitFor(status, ({ unacknowledged, blobs }) => unacknowledged + blobs === 0, clock, wait)
    },
    async saved () {
      handles.flush()
      await sync.idle()
      status.settle()
      if (status.get().storage === 'failed') throw new NodalmergeError('client.storage')
    }
  }
}
