import type { Clock } from '../clock.js'
import { NodalmergeError, REASONS, type Code } from '../errors.js'
import type { Blake3 } from '../protocol/blake3.js'
import { toHex } from '../protocol/hex.js'
import { idOf, scanNode } from '../protocol/node.js'
import type { Op } from '../protocol/op.js'
import { cursor } from '../protocol/postcard.js'
import type { ErrorMessage, PackAck, Welcome } from '../protocol/server-message.js'
import type { Change } from '../state/change.js'
import type { AppliedNode } from '../state/document.js'
import type { Views } from '../state/views.js'
import { createBaseline } from './baseline.js'
import { breathe } from './breath.js'
import type { ChangeSource, Core, Rejection } from './core.js'
import type { Ed25519 } from './ed25519.js'
import type { RoomCipher } from './encryption.js'
import type { ClientFrame } from './frame.js'
import { type Problem, createIntake } from './intake.js'
import { createJournal } from './journal.js'
import { createListeners } from './listeners.js'
import type { Pace } from './pace.js'
import type { PendingNode } from './pending.js'
import { createProof } from './proof.js'
import { type Refusal, reauthor } from './reauthor.js'
import { createReceipts } from './receipts.js'
import { createReplica } from './replica.js'
import type { RoomStorage } from './storage.js'
import { createUpload } from './upload.js'
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

/** What happened to storage: null, that it works again. */
export type Failing = unknown

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
  /** The socket is gone. */
  disconnected (): void
  /** Calls `listen` after `counts` or `synced` may have changed, at most once in a turn. */
  onCounts (listen: () => void): () => void
  /** Calls `listen` with what came from outside and was left out. */
  onProblem (listen: (problem: Problem) => void): () => void
  /** Calls `listen` with the error when storage fails, and with null when it works again. */
  onStorage (listen: (error: Failing) => void): () => void
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
  pace: Pace
  /** Makes the views over the confirmed nodes. */
  views: (confirmed: () => Iterable<AppliedNode>) => Views
  /** Answers whether the frame went to a socket. */
  send: (frame: ClientFrame) => boolean
  /** Ends the connection so that another `welcome` tells what the server holds. */
  resync?: () => void
  cipher?: RoomCipher | undefined
}

/** Ids of a `request`: about as much as the server would accept in one frame in the worst case. */
const KNOWN_IDS = 100_000

/** Makes the graph of a room. `load` comes next. */
export async function createSync (parts: SyncParts): Promise<Sync> {
  const { clock, blake3, pace, send } = parts
  const signer = await parts.ed25519.signer(parts.seed)
  const author = signer.publicKey
  const writer = createWriter({ author, blake3, now: () => clock.now(), cipher: parts.cipher })
  const replica = createReplica({ blake3, writer, views: parts.views })

  const problems = createListeners<[Problem]>(() => {})
  const report = (error: unknown): void => problem('reject.internal', String(error))
  const changes = createListeners<[Change, ChangeSource]>(report)
  const rejections = createListeners<[Rejection]>(report)
  const befores = createListeners<[]>(report)
  const counts = createListeners<[]>(report)
  const storages = createListeners<[Failing]>(report)
  let phase: 'new' | 'loaded' | 'closed' = 'new'
  /** Nodes of others are applied and not told. */
  let untold = false
  let countsTold = true
  /** The server acknowledges; it said so, or did so. */
  let acks = false
  let gateOpen = false

  function problem (code: Code, message: string, id?: string): void {
    problems.tell({ code, message, ...(id === undefined ? {} : { id }) })
  }

  function recount (): void {
    if (!countsTold) return
    countsTold = false
    queueMicrotask(() => {
      countsTold = true
      counts.tell()
    })
  }

  function tell (source: ChangeSource): void {
    untold = false
    const change = replica.views.settle()
    if (change.maps.size + change.lists.size + change.texts.size > 0) changes.tell(change, source)
    recount()
  }

  const upload = createUpload({
    dag: replica.dag,
    pending: replica.pending,
    pace,
    clock,
    send,
    written () {
      if (acks) receipts.written()
      recount()
    },
    resting () { if (!acks) proof.resting() }
  })
  const resync = (): void => parts.resync?.()
  const receipts = createReceipts({ upload, clock, refuse, resync, unwanted: (id, { code, message }) => problem(knownCode(code), message, id), confirm })
  const proof = createProof({ upload, clock, send, refuse, resync })
  const baseline = createBaseline(replica, clock, (lost) => {
    gateOpen = true
    upload.begin(lost)
    recount()
  })
  const journal = createJournal({
    replica,
    storage: parts.storage,
    sign: (message) => signer.sign(message),
    clock,
    ready: upload.queue,
    saved: recount,
    failing: storages.tell
  })
  const intake = createIntake({
    replica,
    blake3,
    ed25519: parts.ed25519,
    clock,
    before: befores.tell,
    after,
    seen: baseline.seen,
    done (nodes) {
      baseline.look()
      proof.answered(nodes)
      recount()
    },
    ask (ids, attempt) {
      if (attempt < 2) send({ type: 'mst-done', ids: ids.map(toHex) })
      else request()
    },
    overrun () { request() },
    problem: problems.tell
  })
  let progress = false
  replica.onConfirmed(({ key }) => {
    progress = true
    untold = true
    intake.release(key)
  })

  function after (changed: boolean): void {
    if (changed) untold = true
    if (untold) tell({ from: 'remote' })
    if (progress) {
      progress = false
      receipts.progress()
      proof.progress()
    }
    journal.touch()
  }

  function confirm (nodes: readonly PendingNode[]): void {
    for (const node of nodes) if (!node.gone) replica.confirm(node)
    after(false)
  }

  function refuse (refused: ReadonlyMap<PendingNode, Refusal>): void {
    befores.tell()
    if (untold) tell({ from: 'remote' })
    const outcome = reauthor(replica, author, refused, clock.now())
    journal.drop(outcome.gone.map((node) => node.id))
    for (const node of outcome.written) journal.add(node)
    tell({ from: 'rejection' })
    for (const rejection of outcome.rejections) rejections.tell(rejection)
  }

  /** Everything that is not listed is sent: the last means, when asking by id did not help. */
  async function request (): Promise<void> {
    const { dag } = replica
    const known: string[] = []
    if (dag.size <= KNOWN_IDS) {
      for (let index = 0; index < dag.size; index++) {
        known.push(toHex(dag.id(index)))
        if (index % 2000 === 1999) await breathe()
      }
    }
    send({ type: 'request', known })
  }

  async function load (): Promise<void> {
    for await (const pack of parts.storage.load()) await intake.stored(pack)
    journal.loaded()
    const stale: Uint8Array[] = []
    for (const bytes of await parts.storage.pending()) {
      const node = scanNode(cursor(bytes.slice()))
      if (replica.revive(node) === null) stale.push(idOf(node))
    }
    if (stale.length > 0) journal.drop(stale)
    phase = 'loaded'
    tell({ from: 'storage' })
  }

  function write (ops: readonly Op[], origin?: unknown): PendingNode {
    if (phase !== 'loaded') throw new NodalmergeError('client.closed')
    if (untold) tell({ from: 'remote' })
    const node = replica.write(ops)
    journal.add(node)
    tell(origin === undefined ? { from: 'local' } : { from: 'local', origin })
    return node
  }

  function disconnected (): void {
    gateOpen = false
    baseline.end()
    receipts.end()
    proof.end()
    upload.end()
    recount()
  }

  return {
    views: replica.views,
    author,
    write,
    get clock () { return replica.clock },
    beforeApply: befores.add,
    onChange: changes.add,
    onRejection: rejections.add,
    onCounts: counts.add,
    onProblem: problems.add,
    onStorage: storages.add,
    get counts () {
      const { unsaved, unsent, size } = replica.pending
      return { unsaved, unsent, unacknowledged: size }
    },
    get synced () { return gateOpen && baseline.caughtUp && replica.pending.size === 0 && upload.lost === 0 && upload.parcels.size === 0 },
    greeting: () => ({ frontier: replica.dag.heads().map(toHex), root: toHex(replica.dag.root()) }),
    welcome (welcome, { ext }) {
      acks = ext.has('ack')
      baseline.begin(welcome, ext.has('literal-missing'))
    },
    pack: intake.pack,
    ack (ack) {
      acks = true
      receipts.ack(ack)
    },
    refused (error) {
      if (acks) receipts.error(error)
      else proof.error(error)
    },
    disconnected,
    load,
    async idle () {
      await intake.idle()
      await journal.idle()
    },
    async close () {
      phase = 'closed'
      disconnected()
      intake.close()
      await journal.idle()
      journal.close()
    }
  }
}

function knownCode (code: string): Code {
  return code in REASONS ? code as Code : 'reject.internal'
}
