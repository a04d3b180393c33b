import type { Clock } from '../clock.js'
import { type Code, NodalmergeError, REASONS } from '../errors.js'
import { toBase64 } from '../protocol/base64.js'
import type { ErrorMessage, ServerMessage } from '../protocol/server-message.js'
import { type Backoff, createBackoff } from './backoff.js'
import { type Direct, patienceFor } from './direct.js'
import type { ClientFrame } from './frame.js'

/**
 * Blobs on their way to the server. One counts as uploaded when a `blob-available` names it: ours and the original server send that to
 * the uploader too, after the blob is stored (spec/session-protocol.md §3.1, §3.4).
 */
export interface Uploads {
  /** Blobs that no server has named yet. */
  readonly size: number
  has (hash: string): boolean
  add (hash: string, contentType?: string): void
  /** A session began; `direct` says that presigned addresses were negotiated. What an earlier one refused is tried again. */
  welcome (direct: boolean): void
  message (message: ServerMessage): void
  disconnected (): void
  close (): void
}

export interface UploadParts {
  clock: Clock
  random: () => number
  send: (message: ClientFrame) => boolean
  /** Null where presigned addresses cannot be used. */
  direct: Direct | null
  /** Null when it is no longer there; then nothing is left to upload. Never rejects. */
  bytes: (hash: string) => Promise<Uint8Array | null>
  started: (hash: string) => void
  uploaded: (hash: string) => void
  /** The server will not take it, at least not in this session; or the bytes are gone. */
  refused: (hash: string, error: NodalmergeError) => void
}

/** Blobs on their way at a time, and the size above which a presigned address is asked for (spec/client.md §11.2, C7). */
const PARALLEL = 4
const DIRECT_BYTES = 1024 * 1024
const RETRY = { minMs: 1_000, maxMs: 60_000, factor: 2, jitter: 0.5 }
const DEFAULT_TYPE = 'application/octet-stream'

interface Entry {
  contentType: string
  state: 'waiting' | 'active' | 'delayed' | 'refused'
  backoff: Backoff
  cancel: () => void
  /** Settles what the transfer waits for. */
  reply: ((message: ServerMessage | null) => void) | null
}

export function createUploads (parts: UploadParts): Uploads {
  const { clock, send } = parts
  const entries = new Map<string, Entry>()
  let live = false
  let direct = false
  let active = 0

  function pump (): void {
    for (const [hash, entry] of entries) {
      if (!live || active >= PARALLEL) return
      if (entry.state !== 'waiting') continue
      entry.state = 'active'
      active++
      parts.started(hash)
      transfer(hash, entry).then((error) => { done(hash, entry, error) })
    }
  }

  /** Null for success. */
  function done (hash: string, entry: Entry, error: NodalmergeError | null): void {
    active--
    if (entries.get(hash) === entry) {
      if (error === null) finish(hash)
      else if (!live) entry.state = 'waiting'
      else if (error.retry) delay(entry)
      else {
        entry.state = 'refused'
        parts.refused(hash, error)
      }
    }
    pump()
  }

  function finish (hash: string): void {
    entries.delete(hash)
    parts.uploaded(hash)
  }

  function delay (entry: Entry): void {
    entry.state = 'delayed'
    entry.cancel = clock.after(entry.backoff.next(), () => {
      entry.state = 'waiting'
      pump()
    })
  }

  async function transfer (hash: string, entry: Entry): Promise<NodalmergeError | null> {
    const bytes = await parts.bytes(hash)
    if (bytes === null) return new NodalmergeError('reject.blob_not_found')
    if (direct && bytes.length > DIRECT_BYTES && await byAddress(hash, entry, bytes)) return null
    const stored = await ask(entry, { type: 'blob-upload', blobs: [{ hash, data: toBase64(bytes) }] }, bytes.length)
    if (stored?.type === 'blob-available') return null
    return stored?.type === 'error' ? refusalOf(stored) : new NodalmergeError('client.blob', 'the server has not said that it stored the blob')
  }

  /** Whether it got there; if not, the socket is the way that always works (§3.5). */
  async function byAddress (hash: string, entry: Entry, bytes: Uint8Array): Promise<boolean> {
    const granted = await ask(entry, { type: 'request-upload', hash, size: bytes.length, content_type: entry.contentType }, 0)
    if (granted?.type === 'blob-available') return true
    if (granted?.type !== 'upload-granted') return false
    try {
      await parts.direct?.put(granted.url, bytes, entry.contentType)
    } catch {
      return false
    }
    const stored = await ask(entry, { type: 'blob-uploaded', hash }, 0)
    return stored?.type === 'blob-available'
  }

  /** The message about this blob that comes next; null when none does in time, or the session ends. */
  function ask (entry: Entry, message: ClientFrame, size: number): Promise<ServerMessage | null> {
    return new Promise((resolve) => {
      const cancel = clock.after(patienceFor(size), () => { entry.reply?.(null) })
      entry.reply = (answer) => {
        cancel()
        entry.reply = null
        resolve(answer)
      }
      if (!send(message)) entry.reply(null)
    })
  }

  /** A blob may be named before its transfer asks, by somebody else's upload of the same. */
  function available (hash: string, message: ServerMessage): void {
    const entry = entries.get(hash)
    if (entry === undefined) return
    if (entry.reply !== null) return entry.reply(message)
    entry.cancel()
    finish(hash)
  }

  return {
    get size () { return entries.size },
    has: (hash) => entries.has(hash),
    add (hash, contentType = DEFAULT_TYPE) {
      if (entries.has(hash)) return
      entries.set(hash, { contentType, state: 'waiting', backoff: createBackoff(RETRY, parts.random), cancel: () => {}, reply: null })
      pump()
    },
    welcome (negotiated) {
      live = true
      direct = negotiated && parts.direct !== null
      for (const entry of entries.values()) if (entry.state === 'refused') entry.state = 'waiting'
      pump()
    },
    message (message) {
      switch (message.type) {
        case 'upload-granted':
        case 'upload-denied':
        case 'upload-rejected':
        case 'error':
          if (message.hash !== undefined) entries.get(message.hash)?.reply?.(message)
          return
        case 'blob-available':
          for (const hash of message.hashes) available(hash, message)
      }
    },
    disconnected () {
      live = false
      for (const entry of entries.values()) {
        entry.cancel()
        if (entry.state === 'delayed') entry.state = 'waiting'
        entry.reply?.(null)
      }
    },
    close () {
      live = false
      for (const entry of entries.values()) {
        entry.cancel()
        entry.reply?.(null)
      }
      entries.clear()
    }
  }
}

/** What the server says against a blob of ours; a code that is not known may be tried again. */
function refusalOf ({ code = '', msg }: ErrorMessage): NodalmergeError {
  return new NodalmergeError(isCode(code) ? code : 'client.blob', msg)
}

function isCode (code: string): code is Code {
  return Object.hasOwn(REASONS, code)
}
