import type { Clock } from '../clock.js'
import { NodalmergeError } from '../errors.js'
import type { Blake3 } from '../protocol/blake3.js'
import { toHex } from '../protocol/hex.js'
import { idOf, scanNode } from '../protocol/node.js'
import type { Op } from '../protocol/op.js'
import { cursor } from '../protocol/postcard.js'
import type { ErrorMessage, PackAck, Welcome } from '../protocol/server-message.js'
import type { AppliedNode } from '../state/document.js'
import type { Views } from '../state/views.js'
import type { Problem } from './admission.js'
import type { Core } from './core.js'
import type { Ed25519 } from './ed25519.js'
import type { RoomCipher } from './encryption.js'
import type { ClientFrame } from './frame.js'
import { createIntake } from './intake.js'
import { createJournal } from './journal.js'
import { createNews } from './news.js'
import type { Pace } from './pace.js'
import type { PendingNode } from './pending.js'
import { type Refusal, reauthor } from './reauthor.js'
import { type Replica, createReplica } from './replica.js'
import { drive } from './slice.js'
import type { RoomStorage } from './storage.js'
import { createUplink } from './uplink.js'
import { createWriter } from './writer.js'

/** What a client still owes, in nodes. */
export interface Counts {
  /** Not in storage. */
  unsaved: number
  /** Not written to the present socket. */
  unsent: number
  /** Not acknowledged by a server. */
  unacknowledged: number
}

/** A room's graph between storage and a server. The link drives it; handles read and write through `Core`. */
export interface Sync extends Core {
  readonly counts: Counts
  /** The server holds everything of ours, and everything it announced is here. */
  readonly synced: boolean
  /** What `hello` says of the confirmed nodes, in hexadecimal. */
  greeting (): { frontier: string[], root: string }
  welcome (welcome: Welcome, link: { ext: ReadonlySet<string> }): void
  pack (bytes: Uint8Array): void
  ack (ack: PackAck): void
  refused (error: ErrorMessage): void
  /** Of the keys that are followed everything is here, though announced heads are not. */
  followed (): void
  /** The socket is gone. */
  disconnected (): void
  /** Calls `listen` after `counts` or `synced` may have changed, at most once in a turn. */
  onCounts (listen: () => void): () => void
  /** Calls `listen` with what came from outside and was left out. */
  onProblem (listen: (problem: Problem) => void): () => void
  /** Calls `listen` with the error when storage fails, and with null when it works again. */
  onStorage (listen: (error: unknown) => void): () => void
  /** Reads storage: confirmed nodes, then pending ones. Nothing may be written before. Rejects with what storage rejects with. */
  load (): Promise<void>
  /** Resolves when what was received is taken in and what was written is signed and in storage. */
  idle (): Promise<void>
  /** Brings what is left into storage and stops. Storage stays open: it is the caller's. */
  close (): Promise<void>
}

export interface SyncParts {
  storage: RoomStorage
  ed25519: Ed25519
  /** Seed of the key this instance writes with; nobody else writes with it meanwhile. */
  seed: Uint8Array
  blake3: Blake3
  clock: Clock
  /** Driven by the link. */
  pace: Pace
  /** Makes the views over the confirmed nodes. */
  views: (confirmed: () => Iterable<AppliedNode>) => Views
  /** Answers whether the frame went to a socket. */
  send: (frame: ClientFrame) => boolean
  /** Ends the connection so that another `welcome` tells what the server holds. */
  resync: () => void
  cipher?: RoomCipher | undefined
}

/** Makes the graph of a room. `load` comes next. */
export async function createSync (parts: SyncParts): Promise<Sync> {
  const { clock, blake3, storage } = parts
  const signer = await parts.ed25519.signer(parts.seed)
  const author = signer.publicKey
  const writer = createWriter({ author, blake3, now: clock.now, cipher: parts.cipher })
  const replica = createReplica({ blake3, writer, views: parts.views, confirmed })
  const news = createNews(replica)
  const uplink = createUplink({ ...parts, replica, news, confirm, refuse })
  const journal = createJournal({
    replica, storage, clock, sign: (message) => signer.sign(message), ready: uplink.ready, saved: news.recount, failing: news.storage
  })
  const intake = createIntake({
    replica,
    blake3,
    ed25519: parts.ed25519,
    clock,
    before: news.before,
    after,
    seen: uplink.seen,
    done: uplink.answered,
    ask: uplink.ask,
    overrun: uplink.request,
    problem: news.problem
  })
  let phase: 'new' | 'loaded' | 'closed' = 'new'
  let progress = false

  function confirmed ({ key }: PendingNode): void {
    progress = true
    news.applied()
    intake.release(key)
  }

  /** Nodes were taken in or confirmed. */
  function after (changed: boolean): void {
    if (changed) news.applied()
    news.flush()
    if (progress) uplink.progress()
    progress = false
    journal.touch()
  }

  function confirm (nodes: readonly PendingNode[]): void {
    for (const node of nodes) replica.confirm(node)
    after(false)
  }

  function refuse (refused: ReadonlyMap<PendingNode, Refusal>): void {
    news.before()
    news.flush()
    const { gone, written, rejections } = reauthor(replica, author, refused, clock.now())
    journal.drop(gone.map((node) => node.id))
    for (const node of written) journal.add(node)
    // First what characters are called now: who hears of the change may look for them.
    news.reject(rejections)
    news.change({ from: 'rejection' })
  }

  function * revive (pending: readonly Uint8Array[]): Generator<void, void> {
    for (const bytes of pending) {
      const node = scanNode(cursor(bytes.slice()))
      // What is confirmed is not pending: a tab was killed in between.
      if (intake.intact(node) && replica.revive(node) === null) journal.drop([idOf(node)])
      yield
    }
  }

  async function load (): Promise<void> {
    // In this order: what another tab confirms in between is found twice, not never.
    const pending = await storage.pending()
    for await (const pack of storage.load()) await intake.stored(pack)
    journal.loaded()
    await drive(revive(pending))
    phase = 'loaded'
    news.change({ from: 'storage' })
  }

  function write (ops: readonly Op[], origin?: unknown): PendingNode {
    if (phase !== 'loaded') throw new NodalmergeError('client.closed')
    news.flush()
    const node = replica.write(ops)
    journal.add(node)
    news.change(origin === undefined ? { from: 'local' } : { from: 'local', origin })
    return node
  }

  return {
    views: replica.views,
    author,
    write,
    get clock () { return replica.clock },
    beforeApply: news.listeners.before,
    onChange: news.listeners.change,
    onRejection: news.listeners.rejection,
    onCounts: news.listeners.counts,
    onProblem: news.listeners.problem,
    onStorage: news.listeners.storage,
    get counts () { return countsOf(replica) },
    get synced () { return uplink.synced },
    greeting: () => ({ frontier: replica.dag.heads().map(toHex), root: toHex(replica.dag.root()) }),
    welcome: (welcome, { ext }) => uplink.welcome(welcome, ext),
    pack: intake.pack,
    ack: uplink.ack,
    refused: uplink.error,
    followed: uplink.followed,
    disconnected: uplink.disconnected,
    load,
    async idle () {
      await intake.idle()
      await journal.idle()
    },
    async close () {
      phase = 'closed'
      uplink.disconnected()
      intake.close()
      await journal.idle()
      journal.close()
    }
  }
}

function countsOf ({ pending: { unsaved, unsent, size } }: Replica): Counts {
  return { unsaved, unsent, unacknowledged: size }
}
