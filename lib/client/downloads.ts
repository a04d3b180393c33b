import type { Clock } from '../clock.js'
import { NodalmergeError } from '../errors.js'
import { base64Length, fromBase64 } from '../protocol/base64.js'
import type { ServerMessage, ServerMessageOf } from '../protocol/server-message.js'
import { type Backoff, createBackoff } from './backoff.js'
import type { Direct } from './direct.js'
import type { ClientFrame } from './frame.js'
import { isZstd, unzstd } from './zstd.js'

/** Blobs on their way here. What a server hands over counts only when it hashes to its name. */
export interface Downloads {
  /** Asks for a blob as soon as there is a session. */
  add (hash: string): void
  welcome (): void
  message (message: ServerMessage): void
  disconnected (): void
  close (): void
}

export interface DownloadParts {
  clock: Clock
  random: () => number
  send: (message: ClientFrame) => boolean
  direct: Direct | null
  /** Bytes a blob may have. */
  maxBytes: number
  genuine: (hash: string, bytes: Uint8Array) => boolean
  arrived: (hash: string, bytes: Uint8Array) => void
  /** The server does not have it, or what it hands over is never it; `error` says which of the two. */
  missing: (hash: string, error: NodalmergeError | null) => void
}

/** Requests without an answer at a time, and hashes of one; a server answers so many in frames of its own choice. */
const PARALLEL = 4
const BATCH = 32
/** A request is repeated when it has not been answered for so long; what then still comes is taken all the same. */
const ANSWER_MS = 120_000
/** How long nothing is asked after the server had too many questions. */
const PAUSE_MS = 1_000
/** Tries before a blob that never arrives whole is given up, and the delays between them (spec/client.md §11.2, C7). */
const MAX_TRIES = 6
const RETRY = { minMs: 1_000, maxMs: 60_000, factor: 2, jitter: 0.5 }

interface Wanted {
  state: 'waiting' | 'asked' | 'fetching' | 'delayed'
  backoff: Backoff
  /** A presigned address has failed: ask for bytes (§3.2). */
  preferSocket: boolean
  cancel: () => void
}

interface Request { hashes: Map<string, Wanted>, cancel: () => void }

export function createDownloads (parts: DownloadParts): Downloads {
  const { clock, random, send, direct, maxBytes } = parts
  const wanted = new Map<string, Wanted>()
  const requests = new Set<Request>()
  let live = false
  let scheduled = false
  /** Ends the pause that the server asked for; null while there is none. */
  let resume: (() => void) | null = null

  /** What is asked for in one turn travels in one request. */
  function schedule (): void {
    if (scheduled) return
    scheduled = true
    queueMicrotask(() => {
      scheduled = false
      pump()
    })
  }

  function pump (): void {
    if (!live || resume !== null) return
    for (const preferSocket of [true, false]) {
      for (let hashes = ready(preferSocket); hashes.size > 0 && requests.size < PARALLEL; hashes = ready(preferSocket)) request(hashes, preferSocket)
    }
  }

  function ready (preferSocket: boolean): Map<string, Wanted> {
    const hashes = new Map<string, Wanted>()
    for (const [hash, entry] of wanted) {
      if (hashes.size >= BATCH) break
      if (entry.state === 'waiting' && entry.preferSocket === preferSocket) hashes.set(hash, entry)
    }
    return hashes
  }

  function request (hashes: Map<string, Wanted>, preferSocket: boolean): void {
    for (const entry of hashes.values()) entry.state = 'asked'
    const asked = [...hashes.keys()]
    const own: Request = { hashes, cancel: () => {} }
    requests.add(own)
    attend(own)
    send({ type: 'blob-request', hashes: asked, ...(preferSocket ? { prefer: 'ws' } : {}) })
  }

  /** A request lives while answers to it come. */
  function attend (own: Request): void {
    own.cancel()
    own.cancel = clock.after(ANSWER_MS, () => { giveUp(own) })
  }

  function giveUp (own: Request): void {
    own.cancel()
    requests.delete(own)
    for (const [hash, entry] of own.hashes) again(hash, entry, new NodalmergeError('client.blob', 'the server does not answer for a blob'))
    schedule()
  }

  /** The server does not say which request was one too many; none of them is sure of an answer now. */
  function pause (): void {
    resume ??= clock.after(PAUSE_MS, () => {
      resume = null
      schedule()
    })
    for (const own of [...requests]) giveUp(own)
  }

  function rest (): void {
    live = false
    resume?.()
    resume = null
    for (const own of requests) own.cancel()
    requests.clear()
  }

  /** Ticks the hash off its request; whether it had been asked for. */
  function answered (hash: string): boolean {
    for (const own of requests) {
      if (!own.hashes.delete(hash)) continue
      if (own.hashes.size > 0) {
        attend(own)
      } else {
        own.cancel()
        requests.delete(own)
        schedule()
      }
      return true
    }
    return false
  }

  function again (hash: string, entry: Wanted, error: NodalmergeError): void {
    if (entry.backoff.attempt >= MAX_TRIES) return drop(hash, error)
    entry.state = 'delayed'
    entry.cancel = clock.after(entry.backoff.next(), () => {
      entry.state = 'waiting'
      schedule()
    })
  }

  function drop (hash: string, error: NodalmergeError | null): void {
    wanted.delete(hash)
    parts.missing(hash, error)
  }

  function received (hash: string, entry: Wanted, bytes: Uint8Array): void {
    entry.cancel()
    wanted.delete(hash)
    parts.arrived(hash, bytes)
  }

  function unpack ({ blobs, requested }: ServerMessageOf<'blob-pack'>): void {
    for (const { hash, data } of blobs) {
      const asked = answered(hash)
      const entry = wanted.get(hash)
      if (entry === undefined) continue
      const bytes = base64Length(data) > maxBytes ? null : fromBase64OrNull(data)
      if (bytes !== null && parts.genuine(hash, bytes)) received(hash, entry, bytes)
      else if (asked) again(hash, entry, new NodalmergeError('reject.blob_hash_mismatch'))
    }
    for (const hash of requested) if (answered(hash)) drop(hash, null)
  }

  /** The object as it lies there, or what it holds compressed. */
  async function load (hash: string, url: string): Promise<Uint8Array> {
    if (direct === null) throw new NodalmergeError('client.blob', 'presigned addresses cannot be used here')
    const bytes = await direct.get(url, maxBytes)
    if (parts.genuine(hash, bytes)) return bytes
    const plain = isZstd(bytes) ? await unzstd(bytes, maxBytes) : null
    if (plain !== null && parts.genuine(hash, plain)) return plain
    throw new NodalmergeError('reject.blob_hash_mismatch')
  }

  function redirect ({ redirects }: ServerMessageOf<'blob-redirect'>): void {
    for (const { hash, url } of redirects) {
      const entry = wanted.get(hash)
      if (!answered(hash) || entry === undefined) continue
      entry.state = 'fetching'
      entry.preferSocket = true
      load(hash, url).then((bytes) => {
        if (wanted.get(hash) === entry) received(hash, entry, bytes)
      }, (cause: unknown) => {
        if (wanted.get(hash) === entry) again(hash, entry, new NodalmergeError('client.blob', 'the address did not give the blob', { cause }))
      })
    }
  }

  return {
    add (hash) {
      if (!wanted.has(hash)) wanted.set(hash, { state: 'waiting', backoff: createBackoff(RETRY, random), preferSocket: false, cancel: () => {} })
      schedule()
    },
    welcome () {
      live = true
      schedule()
    },
    message (message) {
      if (message.type === 'blob-pack') unpack(message)
      else if (message.type === 'blob-redirect') redirect(message)
      else if (message.type === 'error' && message.code === 'reject.rate_limit_messages') pause()
    },
    disconnected () {
      rest()
      for (const entry of wanted.values()) if (entry.state === 'asked') entry.state = 'waiting'
    },
    close () {
      rest()
      for (const entry of wanted.values()) entry.cancel()
      wanted.clear()
    }
  }
}

function fromBase64OrNull (data: string): Uint8Array | null {
  try {
    return fromBase64(data)
  } catch {
    return null
  }
}
