import type { Clock } from '../clock.js'
import { REASONS } from '../errors.js'
import { toHex } from '../protocol/hex.js'
import type { ErrorMessage, PackAck } from '../protocol/server-message.js'
import type { PendingNode } from './pending.js'
import type { Refusal } from './reauthor.js'
import type { Parcel, Upload, Window } from './upload.js'

/** What the answers of a server that acknowledges mean for the nodes that were sent (spec/session-protocol.md §2.2). */
export interface Receipts {
  /** A `pack-ack`; without an id it answers the oldest pack. */
  ack (ack: PackAck): void
  /** An `error`; what it says of nodes is said again by the acknowledgement, unless there is none. */
  error (error: ErrorMessage): void
  /** A pack was written out: an answer is awaited. */
  written (): void
  /** A node has become confirmed. */
  progress (): void
  end (): void
}

export interface ReceiptParts {
  upload: Upload
  clock: Clock
  confirm: (nodes: readonly PendingNode[]) => void
  refuse: (refused: ReadonlyMap<PendingNode, Refusal>) => void
  /** A confirmed node that the server had lost was refused when it was brought back. */
  unwanted: (id: string, refusal: Refusal) => void
  /** The server does not hold what its `welcome` said: only a new one can tell what it lacks. */
  resync: () => void
}

/** Several packs at once, so that a long way to the server does not slow the upload down; the server stops reading at 256. */
export const ACKNOWLEDGED: Window = { nodes: Infinity, parcels: 16 }
/** A pack without an answer for so long, in milliseconds, is sent again; servers delay answers by up to 30 s. */
const ANSWER_MS = 60_000
const RETRY_MS = 1000
const RETRY_MOST_MS = 30_000
/** Rounds without any progress after which parents that the server lacks are not on their way. */
const PATIENCE = 3
/** Errors that stand in place of an acknowledgement: nothing of the pack was kept. */
const UNKEPT = new Set(['reject.store_unavailable', 'reject.server_overload', 'reject.internal'])

type Entry = PackAck['rejected'][number]

export function createReceipts (parts: ReceiptParts): Receipts {
  const { upload, clock } = parts
  let rounds = 0
  let cancel: (() => void) | null = null

  const pause = (): number => Math.min(RETRY_MOST_MS, RETRY_MS * 2 ** rounds++)

  function watch (): void {
    const [oldest] = upload.parcels.keys()
    cancel = null
    if (oldest === undefined) return
    cancel = clock.after(ANSWER_MS, () => {
      if (upload.parcels.has(oldest)) upload.restart(0)
      watch()
    })
  }

  function read (parcel: Parcel, ack: PackAck): void {
    const entries = new Map(ack.rejected.map((entry) => [entry.id, entry]))
    const accepted: PendingNode[] = []
    const later: PendingNode[] = []
    const refused = new Map<PendingNode, Refusal>()
    for (const node of parcel.nodes) {
      const id = toHex(node.id)
      const entry = entries.get(id)
      entries.delete(id)
      // Written anew since it was sent.
      if (node.gone) continue
      // The list of refusals is cut off at 64: of what is not on a longer one nothing is known.
      if (entry === undefined && ack.rejected_count <= ack.rejected.length) accepted.push(node)
      else if (entry === undefined || mayPass(entry)) later.push(node)
      else refused.set(node, { code: entry.code, message: entry.msg ?? entry.code })
    }
    if (refused.size > 0) parts.refuse(refused)
    parts.confirm(accepted)
    for (const entry of entries.values()) if (!mayPass(entry) && parcel.lost > 0) parts.unwanted(entry.id, { code: entry.code, message: entry.msg ?? entry.code })
    repeat(later.filter((node) => !node.gone))
  }

  function repeat (nodes: readonly PendingNode[]): void {
    if (nodes.length === 0) return upload.pump()
    if (rounds >= PATIENCE) parts.resync()
    upload.again(nodes, pause())
  }

  return {
    ack (ack) {
      const parcel = ack.id === undefined ? [...upload.parcels.values()].at(0) : upload.parcels.get(Number(ack.id))
      if (parcel === undefined) return
      upload.settle(parcel.id)
      read(parcel, ack)
    },
    error ({ code }) {
      if (code !== undefined && UNKEPT.has(code) && upload.parcels.size > 0) upload.restart(pause())
    },
    written () { if (cancel === null) watch() },
    progress () { rounds = 0 },
    end () {
      cancel?.()
      cancel = null
    }
  }
}

/** Whether the same node may be accepted later. */
function mayPass ({ code, retry }: Entry): boolean {
  return retry ?? retryable(code)
}

export function retryable (code: string): boolean {
  return Object.entries(REASONS).some(([name, reason]) => name === code && reason.retry)
}
