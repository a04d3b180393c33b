import type { Clock } from '../clock.js'
import { NodalmergeError } from '../errors.js'
import type { Blake3 } from '../protocol/blake3.js'
import { toHex } from '../protocol/hex.js'
import type { UnknownMessage } from '../protocol/message.js'
import type { ServerMessage, Welcome } from '../protocol/server-message.js'
import { createBlobCache } from './blob-cache.js'
import { type FetchLike, createDirect } from './direct.js'
import { createDownloads } from './downloads.js'
import type { ClientFrame } from './frame.js'
import type { RoomStorage } from './storage.js'
import { createUploads } from './uploads.js'

/**
 * `local`: here, and not with the server yet. `uploaded`: the server has said that it stored it, or it came from there. `missing`: the
 * server does not have it. `unknown`: not asked for since the document was opened.
 */
export type BlobStatus = 'unknown' | 'local' | 'uploading' | 'uploaded' | 'missing'

export interface BlobEvent {
  hash: string
  status: BlobStatus
  /** Why the server will not take it, or why it could not be had. */
  error?: NodalmergeError
}

/** The part of a `Blob` that is looked at. */
export interface BlobLike { readonly type: string, arrayBuffer (): Promise<ArrayBuffer> }

/** Bytes beside the nodes, named by their BLAKE3 hash in hexadecimal (spec/client.md §10.4). */
export interface Blobs {
  /**
   * Keeps bytes here and uploads them when there is a connection. Resolves with their hash once they are in local storage, or in memory
   * when that fails. Rejects with TypeError for anything but bytes, RangeError for more than `maxBytes`, `client.closed`.
   */
  put (content: Uint8Array | BlobLike, options?: { contentType?: string }): Promise<string>
  /**
   * The bytes, from here or from the server; undefined when the server does not have them. While there is no connection it waits;
   * `signal` ends that. Rejects with the signal's reason, TypeError for what is no hash, `client.closed`.
   */
  get (hash: string, options?: { signal?: AbortSignal }): Promise<Uint8Array | undefined>
  /** The bytes if they happen to be in memory. */
  peek (hash: string): Uint8Array | undefined
  /** An object URL, valid until the document is closed. Rejects with `client.blob` when the server does not have the blob. */
  url (hash: string): Promise<string>
  status (hash: string): BlobStatus
  observe (listen: (event: BlobEvent) => void): () => void
}

/** Blobs as their document and its link drive them. */
export interface BlobDriver extends Blobs {
  /** Blobs that the server has not got yet. */
  readonly unsent: number
  /** Whether `hello` may offer presigned addresses. */
  readonly direct: boolean
  /** Takes up the uploads of earlier times. */
  load (): Promise<void>
  /** The document mentions these: fetched unless that is lazy. */
  referenced (hashes: Iterable<string>): void
  welcome (welcome: Welcome): void
  message (message: ServerMessage | UnknownMessage): void
  disconnected (): void
  close (): void
}

export interface BlobParts {
  storage: Pick<RoomStorage, 'blob' | 'putBlob' | 'blobUploaded' | 'unsentBlobs'>
  blake3: Blake3
  clock: Clock
  random: () => number
  send: (message: ClientFrame) => boolean
  /** Whether blobs that are mentioned are fetched at once; 'lazy' unless given. */
  mode?: 'lazy' | 'eager' | undefined
  /** The platform's unless given; null for none. */
  fetch?: FetchLike | null | undefined
  /** Bytes of one blob; 64 MiB unless given. */
  maxBytes?: number | undefined
  /** Bytes kept in memory; 32 MiB unless given. */
  cacheBytes?: number | undefined
  /** Told when local storage fails, or what a listener threw; the blobs go on in memory. */
  fault: (error: unknown) => void
}

const MAX_BYTES = 64 * 1024 * 1024
const CACHE_BYTES = 32 * 1024 * 1024
const HASH = /^[0-9a-f]{64}$/

interface Waiter { resolve: (bytes: Uint8Array | undefined) => void, reject: (reason: unknown) => void }

export function createBlobs (parts: BlobParts): BlobDriver {
  const { storage, blake3, clock, maxBytes = MAX_BYTES, mode = 'lazy' } = parts
  const fetch = parts.fetch === undefined ? platformFetch() : parts.fetch
  const direct = fetch === null ? null : createDirect(fetch, clock)
  const cache = createBlobCache(parts.cacheBytes ?? CACHE_BYTES)
  /** What local storage would not take, until the server has it. */
  const homeless = new Map<string, Uint8Array>()
  const statuses = new Map<string, BlobStatus>()
  const types = new Map<string, string>()
  const urls = new Map<string, string>()
  const waiters = new Map<string, Set<Waiter>>()
  const listeners = new Set<(event: BlobEvent) => void>()
  let closed = false

  const uploads = createUploads({
    ...parts,
    direct,
    bytes: local,
    started: (hash) => { become(hash, 'uploading') },
    uploaded (hash) {
      become(hash, 'uploaded')
      homeless.delete(hash)
      keep(storage.blobUploaded(hash))
    },
    refused: (hash, error) => { become(hash, 'local', error) }
  })
  const downloads = createDownloads({
    ...parts,
    direct,
    maxBytes,
    genuine: (hash, bytes) => toHex(blake3.hash(bytes)) === hash,
    arrived (hash, bytes) {
      cache.set(hash, bytes)
      keep(storage.putBlob(hash, bytes, true))
      become(hash, 'uploaded')
      settle(hash, bytes)
    },
    missing (hash, error) {
      become(hash, 'missing', error)
      settle(hash, undefined)
    }
  })

  function become (hash: string, status: BlobStatus, error: NodalmergeError | null = null): void {
    if (statuses.get(hash) === status && error === null) return
    statuses.set(hash, status)
    for (const listen of [...listeners]) {
      try {
        listen({ hash, status, ...(error === null ? {} : { error }) })
      } catch (thrown) {
        parts.fault(thrown)
      }
    }
  }

  function settle (hash: string, bytes: Uint8Array | undefined): void {
    const waiting = waiters.get(hash) ?? []
    waiters.delete(hash)
    for (const { resolve } of waiting) resolve(bytes)
  }

  function keep (work: Promise<void>): void {
    work.catch(parts.fault)
  }

  /** What is here. Storage that was tampered with is as good as none. */
  async function local (hash: string): Promise<Uint8Array | null> {
    const known = cache.get(hash) ?? homeless.get(hash)
    if (known !== undefined) return known
    const bytes = await storage.blob(hash).catch((error: unknown) => {
      parts.fault(error)
      return null
    })
    if (bytes === null || toHex(blake3.hash(bytes)) !== hash) return null
    cache.set(hash, bytes)
    // Those that the server lacks were named by `load`.
    if (!statuses.has(hash)) statuses.set(hash, 'uploaded')
    return bytes
  }

  function wait (hash: string, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      const all = waiters.get(hash) ?? new Set()
      const aborted = (): void => {
        all.delete(waiter)
        reject(signal?.reason)
      }
      const waiter: Waiter = {
        resolve (bytes) {
          signal?.removeEventListener('abort', aborted)
          resolve(bytes)
        },
        reject
      }
      waiters.set(hash, all.add(waiter))
      signal?.addEventListener('abort', aborted)
      downloads.add(hash)
    })
  }

  async function get (hash: string, { signal }: { signal?: AbortSignal } = {}): Promise<Uint8Array | undefined> {
    if (typeof hash !== 'string' || !HASH.test(hash)) throw new TypeError('a blob is named by 64 lower-case hexadecimal digits')
    alive()
    signal?.throwIfAborted()
    const here = await local(hash)
    if (here !== null) return here
    alive()
    signal?.throwIfAborted()
    return await wait(hash, signal)
  }

  function alive (): void {
    if (closed) throw new NodalmergeError('client.closed')
  }

  async function put (content: Uint8Array | BlobLike, { contentType }: { contentType?: string } = {}): Promise<string> {
    alive()
    const bytes = await bytesIn(content)
    if (bytes.length > maxBytes) throw new RangeError(`a blob has at most ${maxBytes} bytes`)
    alive()
    const hash = toHex(blake3.hash(bytes))
    const type = contentType ?? ('type' in content ? content.type : '')
    if (type !== '') types.set(hash, type)
    cache.set(hash, bytes)
    if (statuses.get(hash) === 'uploaded' || uploads.has(hash)) return hash
    homeless.set(hash, bytes)
    become(hash, 'local')
    await storage.putBlob(hash, bytes, false).then(() => { homeless.delete(hash) }, parts.fault)
    uploads.add(hash, types.get(hash))
    return hash
  }

  /** One after the other: what is here is read to be sure of it. */
  async function fetchAll (hashes: readonly string[]): Promise<void> {
    for (const hash of hashes) if (!closed && await local(hash) === null && !closed) downloads.add(hash)
  }

  return {
    put,
    get,
    peek: (hash) => cache.get(hash),
    async url (hash) {
      const known = urls.get(hash)
      if (known !== undefined) return known
      const bytes = await get(hash)
      if (bytes === undefined) throw new NodalmergeError('client.blob', 'the server does not have the blob')
      const url = urls.get(hash) ?? objectUrl(bytes, types.get(hash))
      urls.set(hash, url)
      return url
    },
    status: (hash) => statuses.get(hash) ?? 'unknown',
    observe (listen) {
      listeners.add(listen)
      return () => { listeners.delete(listen) }
    },
    get unsent () { return uploads.size },
    direct: direct !== null,
    async load () {
      for (const hash of await storage.unsentBlobs()) {
        become(hash, 'local')
        uploads.add(hash)
      }
    },
    referenced (hashes) {
      if (mode === 'eager') keep(fetchAll([...hashes].filter((hash) => !statuses.has(hash))))
    },
    welcome ({ caps }) {
      uploads.welcome(caps.supports_direct_blob_io)
      downloads.welcome()
    },
    message (message) {
      if (message.type === 'unknown') return
      uploads.message(message)
      downloads.message(message)
      if (message.type === 'blob-available' && mode === 'eager') {
        for (const hash of message.hashes) if (statuses.get(hash) === 'missing') downloads.add(hash)
      }
    },
    disconnected () {
      uploads.disconnected()
      downloads.disconnected()
    },
    close () {
      closed = true
      uploads.close()
      downloads.close()
      direct?.close()
      for (const all of waiters.values()) for (const { reject } of all) reject(new NodalmergeError('client.closed'))
      for (const url of urls.values()) URL.revokeObjectURL(url)
      waiters.clear()
      listeners.clear()
    }
  }
}

/** A copy: what the caller does with its bytes later is not ours. */
async function bytesIn (content: Uint8Array | BlobLike): Promise<Uint8Array> {
  if (content instanceof Uint8Array) return Uint8Array.from(content)
  if (typeof content === 'object' && content !== null && 'arrayBuffer' in content) return new Uint8Array(await content.arrayBuffer())
  throw new TypeError('a blob is made of bytes')
}

function objectUrl (bytes: Uint8Array, type = ''): string {
  return URL.createObjectURL(new Blob([Uint8Array.from(bytes)], { type }))
}

function platformFetch (): FetchLike | null {
  const { fetch }: { fetch?: FetchLike } = globalThis
  return fetch === undefined ? null : (url, init) => fetch(url, init)
}
