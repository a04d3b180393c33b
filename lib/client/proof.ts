import type { Clock } from '../clock.js'
import { equalBytes } from '../protocol/bytes.js'
import { toHex } from '../protocol/hex.js'
import type { ErrorMessage } from '../protocol/server-message.js'
import type { ClientFrame } from './frame.js'
import type { PendingNode } from './pending.js'
import type { Refusal } from './reauthor.js'
import { retryable } from './receipts.js'
import type { Upload, Window } from './upload.js'

/**
 * Finds out what became of nodes at a server that does not acknowledge (spec/client.md §11.2). After what was written out it is asked
 * for the newest of it by id: what comes back, it holds, and with it all its ancestors. Refusals come as text only; when the text names
 * neither a node nor a key, the nodes are sent again one by one until the bad one is found.
 */
export interface Proof {
  /** Everything that may be sent is written out. */
  resting (): void
  /** A node has become confirmed, or was taken out. */
  progress (): void
  /** A pack was worked off; an empty one says that the server holds nothing of what it was asked for. */
  answered (nodes: number): void
  error (error: ErrorMessage): void
  end (): void
}

export interface ProofParts {
  upload: Upload
  clock: Clock
  send: (frame: ClientFrame) => boolean
  refuse: (refused: ReadonlyMap<PendingNode, Refusal>) => void
  resync: () => void
}

/** Packs written out before the server is asked. */
export const UNACKNOWLEDGED: Window = { nodes: Infinity, parcels: 4 }
const ALONE: Window = { nodes: 1, parcels: 1 }
/** Ids asked for at once: of a chain only its end is. */
const ASK_IDS = 64
/** How long an answer may take, in milliseconds. */
const ANSWER_MS = 5000
const RETRY_MS = 1000
const RETRY_MOST_MS = 60_000
const PATIENCE = 3

export function createProof (parts: ProofParts): Proof {
  const { upload, clock } = parts
  /** The server was asked and has not answered. */
  let cancelAnswer: (() => void) | null = null
  /** An error that may be about one of the nodes. */
  let complaint: ErrorMessage | null = null
  /** Nodes that are still to be tried alone. */
  let alone = 0
  let rounds = 0

  function unproven (): PendingNode[] {
    for (const parcel of [...upload.parcels.values()]) {
      parcel.nodes = parcel.nodes.filter((node) => !node.gone)
      if (parcel.nodes.length === 0) upload.settle(parcel.id)
    }
    return [...upload.parcels.values()].flatMap((parcel) => parcel.nodes)
  }

  function ask (): void {
    const nodes = unproven()
    if (nodes.length === 0 || cancelAnswer !== null) return
    const parents = new Set(nodes.flatMap((node) => node.parents))
    const ends = nodes.filter((node) => !parents.has(node.key)).slice(-ASK_IDS)
    parts.send({ type: 'mst-done', ids: ends.map((node) => toHex(node.id)) })
    cancelAnswer = clock.after(ANSWER_MS, disproved)
  }

  function settled (): void {
    cancelAnswer?.()
    cancelAnswer = null
  }

  /** The server holds not all of it. */
  function disproved (): void {
    settled()
    const nodes = unproven()
    const objection = complaint
    complaint = null
    if (objection === null) {
      widen()
      if (rounds >= PATIENCE) parts.resync()
      upload.restart(Math.min(RETRY_MOST_MS, RETRY_MS * 2 ** rounds++))
    } else if (alone > 0 || nodes.length === 1) {
      parts.refuse(new Map(nodes.map((node) => [node, refusalOf(objection)])))
      proceed()
    } else {
      alone = nodes.length
      upload.narrow(ALONE)
      upload.restart(0)
    }
  }

  function widen (): void {
    alone = 0
    upload.narrow(UNACKNOWLEDGED)
  }

  function proceed (): void {
    if (unproven().length > 0) return
    settled()
    complaint = null
    rounds = 0
    if (alone > 0) alone--
    if (alone === 0) widen()
    upload.pump()
  }

  return {
    resting: ask,
    progress () { if (upload.parcels.size > 0) proceed() },
    answered (nodes) { if (nodes === 0 && cancelAnswer !== null) disproved() },
    error (error) {
      const nodes = unproven()
      if (nodes.length === 0) return
      const refused = named(error, nodes)
      if (refused.size > 0) {
        parts.refuse(refused)
        proceed()
      } else if (!/^missing_parent: \d+ node\(s\) unresolved$/.test(error.msg)) {
        complaint = error
      }
    },
    end () {
      settled()
      complaint = null
      alone = 0
    }
  }
}

const TEXTS: ReadonlyArray<[RegExp, string]> = [
  [/policy violation/, 'reject.policy_violation'],
  [/invalid ed25519 signature/, 'reject.invalid_signature'],
  [/hash mismatch/, 'reject.hash_mismatch'],
  [/lamport ceiling/, 'reject.lamport_ceiling'],
  [/wall clock skew/, 'reject.wall_clock_skew']
]

function codeOf ({ code, reason_class: reason }: ErrorMessage, text: string): string {
  const [prefix] = /\breject\.[a-z_]+/.exec(text) ?? []
  return code ?? reason ?? prefix ?? TEXTS.find(([pattern]) => pattern.test(text))?.[1] ?? 'reject.protocol_invalid_message'
}

function refusalOf (error: ErrorMessage, text = error.msg): Refusal {
  return { code: codeOf(error, text), message: text, requiredCapability: error.required_capability }
}

/** The nodes that an error's text is about: it joins one text per node with semicolons (spec/session-protocol.md §2.1). */
function named (error: ErrorMessage, nodes: readonly PendingNode[]): Map<PendingNode, Refusal> {
  const refused = new Map<PendingNode, Refusal>()
  for (const text of error.msg.split('; ')) {
    const refusal = refusalOf(error, text)
    if (retryable(refusal.code)) continue
    for (const node of nodes) if (names(text, node)) refused.set(node, refusal)
  }
  return refused
}

/** By its id, or by its author and a key of it (spec/wire-format.md §5.6). */
function names (text: string, node: PendingNode): boolean {
  if (text.includes(toHex(node.id))) return true
  const [, author, key] = /^policy violation: author \[([\d, ]+)\] not permitted to write key '(.*)'$/s.exec(text) ?? []
  return author !== undefined && equalBytes(node.author, Uint8Array.from(author.split(', '), Number)) && node.ops.some((op) => op.key === key)
}
