import type { Clock } from '../clock.js'
import { REASONS, type Code } from '../errors.js'
import { toHex } from '../protocol/hex.js'
import type { NodeView } from '../protocol/node.js'
import type { ErrorMessage, PackAck, Welcome } from '../protocol/server-message.js'
import { createBaseline } from './baseline.js'
import type { ClientFrame } from './frame.js'
import type { News } from './news.js'
import type { Pace } from './pace.js'
import type { PendingNode } from './pending.js'
import { UNACKNOWLEDGED, createProof } from './proof.js'
import type { Refusal } from './reauthor.js'
import { ACKNOWLEDGED, createReceipts } from './receipts.js'
import type { Replica } from './replica.js'
import { drive } from './slice.js'
import { createUpload } from './upload.js'

/** One server at the other end, whatever its dialect: what it is sent, and what its answers mean. */
export interface Uplink {
  /** Everything it announced is here, and everything of ours is there. */
  readonly synced: boolean
  welcome (welcome: Welcome, ext: ReadonlySet<string>): void
  ack (ack: PackAck): void
  error (error: ErrorMessage): void
  disconnected (): void
  /** These may be sent, after all that were given before. */
  ready (nodes: readonly PendingNode[]): void
  /** The server holds this node. */
  seen (node: NodeView): void
  /** A pack of so many nodes was worked off. */
  answered (nodes: number): void
  /** Of the keys that are followed everything is here. */
  followed (): void
  /** Pending nodes have become confirmed. */
  progress (): void
  /** Asks for nodes: by id first, then for everything that is not here. */
  ask (ids: readonly Uint8Array[], attempt: number): void
  /** Asks for everything that is not here. */
  request (): void
}

export interface UplinkParts {
  replica: Replica
  clock: Clock
  pace: Pace
  news: News
  send: (frame: ClientFrame) => boolean
  confirm: (nodes: readonly PendingNode[]) => void
  refuse: (refused: ReadonlyMap<PendingNode, Refusal>) => void
  /** Ends the connection so that another `welcome` tells what the server holds. */
  resync: () => void
}

/** Ids that a `request` lists at most; beyond it is cheaper to be sent everything. */
const KNOWN_IDS = 10_000
/** How often nodes are asked for by id before everything is. */
const BY_ID = 2

export function createUplink (parts: UplinkParts): Uplink {
  const { replica, clock, pace, news, send, confirm, refuse, resync } = parts
  const { dag, pending } = replica
  /** The server acknowledges: it said so, or did so. */
  let acks = false
  /** What the server lacks is known. */
  let open = false
  const upload = createUpload({
    dag,
    pending,
    pace,
    clock,
    send,
    written () {
      if (acks) receipts.written()
      news.recount()
    },
    resting () { if (!acks) proof.resting() }
  })
  const unwanted = (id: string, { code, message }: Refusal): void => news.problem({ code: isCode(code) ? code : 'reject.internal', message, id })
  const receipts = createReceipts({ upload, clock, confirm, refuse, resync, unwanted })
  const proof = createProof({ upload, clock, send, refuse, resync })
  const baseline = createBaseline(replica, clock, (lost) => {
    open = true
    upload.begin(lost, acks ? ACKNOWLEDGED : UNACKNOWLEDGED)
    news.recount()
  })
  const request = (): void => { drive(knownIds(replica)).then((known) => send({ type: 'request', known })) }

  return {
    get synced () { return open && baseline.caughtUp && pending.size === 0 && upload.lost === 0 && upload.parcels.size === 0 },
    welcome (welcome, ext) {
      acks = ext.has('ack')
      baseline.begin(welcome, ext.has('literal-missing'))
    },
    ack (ack) {
      acks = true
      receipts.ack(ack)
    },
    error (error) {
      if (acks) receipts.error(error)
      else proof.error(error)
    },
    disconnected () {
      open = false
      for (const part of [baseline, receipts, proof, upload]) part.end()
      news.recount()
    },
    ready: upload.queue,
    seen: baseline.seen,
    answered (nodes) {
      baseline.look()
      if (!acks) proof.answered(nodes)
      news.recount()
    },
    followed () {
      baseline.followed()
      news.recount()
    },
    progress () {
      if (acks) receipts.progress()
      else proof.progress()
    },
    ask (ids, attempt) {
      if (attempt < BY_ID) send({ type: 'mst-done', ids: ids.map(toHex) })
      else request()
    },
    request
  }
}

function * knownIds ({ dag }: Replica): Generator<void, string[]> {
  const known: string[] = []
  if (dag.size > KNOWN_IDS) return known
  for (let index = 0; index < dag.size; index++) {
    known.push(toHex(dag.id(index)))
    if (index % 100 === 0) yield
  }
  return known
}

function isCode (code: string): code is Code {
  return code in REASONS
}
