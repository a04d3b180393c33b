import type { Blake3 } from '../protocol/blake3.js'
import type { SignatureJob, Verifier } from '../protocol/crypto.js'
import { bytesAt } from '../protocol/bytes.js'
import { MIN_NODE_LENGTH, type NodeView, authorOf, count, idOf, scanNode, signatureOf, transactionOf } from '../protocol/node.js'
import { cursor } from '../protocol/postcard.js'
import type { NodalmergeError } from '../errors.js'
import { keyAt } from '../protocol/id-key.js'
import type { Source } from './source.js'
import { createPace } from './turn.js'

/** A node of a pack on its way into the room, with what was found out about it so far. */
export interface Candidate {
  node: NodeView
  key: string
  source: Source
  /** The id is the hash of the transaction. */
  identified: boolean
  /** The signature verifies. */
  signed: boolean
  /** What the host or the session's rights have against it. */
  objection: NodalmergeError | null
  /** It was reported as an orphan and is no longer part of its pack's answer. */
  late: boolean
  /** When it began to wait for a parent, in Unix milliseconds. */
  since: number
}

/** Nodes verified together: enough to keep every worker busy, few enough that two sessions share the workers fairly. */
const VERIFY_CHUNK = 512

/** Reads a pack in slices of the event loop. Throws `reject.protocol_invalid_message`. */
export async function decode (pack: Uint8Array): Promise<NodeView[]> {
  const c = cursor(pack)
  const pace = createPace()
  const nodes: NodeView[] = []
  for (let left = count(c, MIN_NODE_LENGTH); left > 0; left--) {
    nodes.push(scanNode(c))
    if (pace.due()) await pace.rest()
  }
  return nodes
}

/** Splits a pack into candidates that nobody has seen and repeats of what is known or stood earlier in the pack. */
export async function sift (nodes: readonly NodeView[], source: Source, known: (bytes: Uint8Array, at: number, key: string) => boolean):
Promise<{ candidates: Candidate[], repeats: NodeView[] }> {
  const candidates: Candidate[] = []
  const repeats: NodeView[] = []
  const seen = new Set<string>()
  const pace = createPace()
  for (const node of nodes) {
    const key = keyAt(node.bytes, node.start)
    if (seen.has(key) || known(node.bytes, node.start, key)) {
      repeats.push(node)
    } else {
      if (nodes.length > 1) seen.add(key)
      candidates.push({ node, key, source, identified: false, signed: false, objection: null, late: false, since: 0 })
    }
    if (pace.due()) await pace.rest()
  }
  return { candidates, repeats }
}

export interface Inspection { blake3: Blake3, verifier: Verifier }

/** Recomputes ids, verifies signatures and asks for objections, chunk by chunk; hashing the next chunk overlaps with verifying this one. */
export async function inspect (candidates: readonly Candidate[], by: Inspection): Promise<void> {
  let verified: Promise<void> = Promise.resolve()
  for (let at = 0; at < candidates.length; at += VERIFY_CHUNK) {
    const chunk = candidates.slice(at, at + VERIFY_CHUNK)
    identify(chunk, by.blake3)
    const previous = verified
    verified = verify(chunk.filter((candidate) => candidate.identified), by.verifier)
    await previous
  }
  await verified
}

function identify (chunk: readonly Candidate[], blake3: Blake3): void {
  for (const candidate of chunk) {
    const { node } = candidate
    candidate.identified = bytesAt(node.bytes, node.start, blake3.hash(transactionOf(node)))
  }
}

async function verify (chunk: readonly Candidate[], verifier: Verifier): Promise<void> {
  const jobs: SignatureJob[] = chunk.map(({ node }) => ({ author: authorOf(node), id: idOf(node), signature: signatureOf(node) }))
  const answers = verifier.verify(jobs)
  for (const candidate of chunk) {
    const objection = candidate.source.objection(candidate.node)
    candidate.objection = objection instanceof Promise ? await objection : objection
  }
  const signed = await answers
  chunk.forEach((candidate, i) => { candidate.signed = signed[i] })
}
