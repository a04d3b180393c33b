import { fromBase64, toBase64 } from '../../lib/protocol/base64.js'
import type { Clock } from '../../lib/clock.js'
import type { Message } from '../../lib/testing/connection.js'
import type { SyncStore } from './sync-store.js'
import type { Wire } from './wire.js'

/** The blob half of a D-client (spec/client.md §5.8). */
export interface DBlobs {
  /** Keeps the bytes and, while a socket is open, sends them or asks for a place to put them; before the node that names them. */
  put (bytes: Uint8Array, contentType?: string): string
  /** Requests that were sent and not answered by a `requested` list. */
  readonly pending: ReadonlySet<string>
  /** Direct uploads and downloads under way. */
  readonly transfers: number
  opened (): void
  welcomed (direct: boolean): void
  askMissing (): void
  readonly reactions: Record<string, (message: Message) => void>
}

const GRANT_WAIT = 30_000
const OCTETS = 'application/octet-stream'

const list = (value: unknown): string[] => Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : []

export function createDBlobs (store: SyncStore, wire: Wire, timers: Clock, fetcher: typeof fetch): DBlobs {
  const pending = new Set<string>()
  /** By hash, what to do with the answer to `request-upload`; the 30 s timer is cancelled with it. */
  const waiting = new Map<string, (url: string | null) => void>()
  let direct = false
  let transfers = 0

  const ask = (hashes: string[]): void => {
    if (hashes.length === 0) return
    if (wire.send({ type: 'blob-request', hashes })) for (const hash of hashes) pending.add(hash)
  }
  const overSocket = (hash: string): void => {
    const bytes = store.blob(hash)
    if (bytes !== undefined) wire.send({ type: 'blob-upload', blobs: [{ hash, data: toBase64(bytes) }] })
  }
  function transfer (run: () => Promise<void>, failed: () => void): void {
    transfers++
    run().catch(failed).finally(() => {
      transfers--
      wire.changed()
    })
  }
  async function upload (hash: string, url: string, type: string): Promise<void> {
    const answer = await fetcher(url, { method: 'PUT', body: Uint8Array.from(store.blob(hash) ?? []), headers: { 'content-type': type } })
    if (!answer.ok) throw new Error(`PUT ${answer.status}`)
    wire.send({ type: 'blob-uploaded', hash })
  }
  async function download (hash: string, url: string): Promise<void> {
    const answer = await fetcher(url)
    if (!answer.ok) throw new Error(`GET ${answer.status}`)
    store.storeBlob(hash, new Uint8Array(await answer.arrayBuffer()))
    pending.delete(hash)
  }
  const requestUpload = (hash: string, size: number, type: string): void => {
    const cancel = timers.after(GRANT_WAIT, () => waiting.get(hash)?.(null))
    waiting.set(hash, (url) => {
      cancel()
      waiting.delete(hash)
      if (url === null) overSocket(hash)
      else transfer(async () => { await upload(hash, url, type) }, () => { overSocket(hash) })
    })
    wire.send({ type: 'request-upload', hash, size, content_type: type })
  }
  const granted = (message: Message): void => {
    waiting.get(String(message.hash))?.(message.type === 'upload-granted' ? String(message.url) : null)
  }

  return {
    pending,
    get transfers () { return transfers },
    put (bytes, contentType = OCTETS) {
      const hash = store.setBlob(bytes)
      if (wire.open) {
        if (direct) requestUpload(hash, bytes.length, contentType)
        else overSocket(hash)
      }
      return hash
    },
    opened () {
      pending.clear()
      const blobs = store.localBlobs()
      if (blobs.length > 0) wire.send({ type: 'blob-upload', blobs })
    },
    welcomed (offered) {
      direct = offered
      this.askMissing()
    },
    askMissing () { ask(store.missingBlobs().filter((hash) => !pending.has(hash))) },
    reactions: {
      'blob-pack' (message) {
        for (const { hash, data } of message.blobs as { hash: string, data: string }[]) {
          // Bad data is ignored silently by the original.
          try { store.storeBlob(hash, fromBase64(data)) } catch {}
        }
        for (const hash of list(message.requested)) pending.delete(hash)
      },
      'blob-available' (message) {
        const absent = new Set(store.missingBlobs())
        ask(list(message.hashes).filter((hash) => absent.has(hash)))
      },
      'blob-redirect' (message) {
        for (const { hash, url } of message.redirects as { hash: string, url: string }[]) {
          transfer(async () => { await download(hash, url) }, () => { ask([hash]) })
        }
      },
      'upload-granted': granted,
      'upload-denied': granted,
      'upload-rejected': granted
    }
  }
}
