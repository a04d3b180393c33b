import { type BlobDriver, type BlobEvent, type BlobParts, createBlobs } from '../../lib/client/blobs.js'
import type { ClientFrame } from '../../lib/client/frame.js'
import type { FetchLike } from '../../lib/client/direct.js'
import { toBase64 } from '../../lib/protocol/base64.js'
import type { Blake3 } from '../../lib/protocol/blake3.js'
import { loadBlake3 } from '../../lib/protocol/blake3-wasm.js'
import { toHex } from '../../lib/protocol/hex.js'
import { parseServerMessage } from '../../lib/protocol/server-message.js'
import { type FakeClock, createFakeClock } from '../../lib/testing/clock.js'
import { settled } from './link-socket.js'

export const blake3: Blake3 = await loadBlake3()

/** Local storage of blobs that can be told to fail. */
export interface BlobShelf {
  readonly kept: Map<string, { bytes: Uint8Array, uploaded: boolean }>
  failing: boolean
  readonly storage: BlobParts['storage']
}

export function createShelf (): BlobShelf {
  const kept: BlobShelf['kept'] = new Map()
  const work = async <Result>(run: () => Result): Promise<Result> => {
    if (shelf.failing) throw new Error('the disk is full')
    return run()
  }
  const shelf: BlobShelf = {
    kept,
    failing: false,
    storage: {
      blob: (hash) => work(() => kept.get(hash)?.bytes ?? null),
      putBlob: (hash, bytes, uploaded) => work(() => { kept.set(hash, { bytes, uploaded }) }),
      blobUploaded: (hash) => work(() => {
        const entry = kept.get(hash)
        if (entry !== undefined) entry.uploaded = true
      }),
      unsentBlobs: () => work(() => [...kept].filter(([, { uploaded }]) => !uploaded).map(([hash]) => hash))
    }
  }
  return shelf
}

export interface Stage {
  readonly blobs: BlobDriver
  readonly clock: FakeClock
  readonly shelf: BlobShelf
  /** Frames sent while there was a session. */
  readonly sent: ClientFrame[]
  readonly events: BlobEvent[]
  readonly faults: unknown[]
  /** Addresses asked. */
  readonly asked: { method: string, url: string, type: string | undefined }[]
  /** What the addresses answer; a stream of parts, a status, or an error. */
  answer: (method: string, url: string, signal: AbortSignal) => Promise<Uint8Array[] | number>
  join (direct?: boolean): Promise<void>
  leave (): void
  hear (message: object): Promise<void>
  of<Type extends ClientFrame['type']> (type: Type): Extract<ClientFrame, { type: Type }>[]
}

export function stage (options: Partial<BlobParts> = {}, shelf = createShelf()): Stage {
  const clock = createFakeClock()
  const sent: ClientFrame[] = []
  const faults: unknown[] = []
  const events: BlobEvent[] = []
  const asked: Stage['asked'] = []
  let live = false
  const fetch: FetchLike = async (url, { method, headers, signal }) => {
    asked.push({ method, url, type: headers['content-type'] })
    const found = await s.answer(method, url, signal)
    if (typeof found === 'number') return { ok: found < 300, status: found, body: null }
    const parts = [...found]
    const reader = { read: async () => ({ done: parts.length === 0, value: parts.shift() }), cancel: async () => { parts.length = 0 } }
    return { ok: true, status: 200, body: { getReader: () => reader } }
  }
  const send = (message: ClientFrame): boolean => live && sent.push(message) > 0
  const blobs = createBlobs({ storage: shelf.storage, blake3, clock, random: () => 0, send, fetch, fault: (error) => { faults.push(error) }, ...options })
  blobs.observe((event) => { events.push(event) })
  const s: Stage = {
    blobs,
    clock,
    shelf,
    sent,
    events,
    faults,
    asked,
    answer: async () => 404,
    async join (direct = false) {
      live = true
      const welcome = parseServerMessage(JSON.stringify({ type: 'welcome', caps: { supports_direct_blob_io: direct } }))
      if (welcome.type === 'welcome') blobs.welcome(welcome)
      await settled()
    },
    leave () {
      live = false
      blobs.disconnected()
    },
    async hear (message) {
      blobs.message(parseServerMessage(JSON.stringify(message)))
      await settled()
    },
    of: <Type extends ClientFrame['type']>(type: Type) => sent.filter((frame): frame is Extract<ClientFrame, { type: Type }> => frame.type === type)
  }
  return s
}

export const nameOf = (bytes: Uint8Array): string => toHex(blake3.hash(bytes))
export const packOf = (...all: Uint8Array[]): object => ({ type: 'blob-pack', blobs: all.map((bytes) => ({ hash: nameOf(bytes), data: toBase64(bytes) })), requested: all.map(nameOf) })
export const blob = (seed: number, length = 16): Uint8Array => Uint8Array.from({ length }, (_, i) => seed * 31 + i)

/** A zstd frame of one raw block, or of repeated bytes that take no room. */
export function zstdFrame (content: Uint8Array): Uint8Array {
  const header = 1 | content.length << 3
  return Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, content.length, header & 255, header >> 8 & 255, header >> 16, ...content)
}

export function zstdBomb (blocks: number): Uint8Array {
  const size = 128 * 1024
  const block = (last: boolean): number[] => {
    const header = Number(last) | 1 << 1 | size << 3
    return [header & 255, header >> 8 & 255, header >> 16, 7]
  }
  return Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0x38, ...Array.from({ length: blocks }, (_, i) => block(i === blocks - 1)).flat())
}
