import type { Clock } from '../clock.js'
import { NodalmergeError } from '../errors.js'
import { concat } from '../protocol/bytes.js'

/** The part of `fetch` that presigned transfers use. */
export type FetchLike = (url: string, init: {
  method: 'GET' | 'PUT'
  headers: Record<string, string>
  body?: Uint8Array<ArrayBuffer>
  signal: AbortSignal
  cache: 'no-store'
  credentials: 'omit'
  referrerPolicy: 'no-referrer'
}) => Promise<ResponseLike>

export interface ResponseLike {
  readonly ok: boolean
  readonly status: number
  readonly body: { getReader (): BodyReader } | null
}

export interface BodyReader {
  read (): Promise<{ done: boolean, value?: Uint8Array | undefined }>
  cancel (): Promise<void>
}

/** Presigned transfers (spec/session-protocol.md §3.3, §3.4). Whatever a server names as an address, only http and https are asked. */
export interface Direct {
  /** Throws `client.blob`. */
  put (url: string, bytes: Uint8Array, contentType: string): Promise<void>
  /** At most `maxBytes`. Throws `client.blob`. */
  get (url: string, maxBytes: number): Promise<Uint8Array>
  /** Ends what is under way. */
  close (): void
}

/** A transfer's time: some, and more for its size at 32 kB a second. */
const PATIENCE_MS = 30_000
const SLOWEST = 32
const HTTP = /^https?:\/\//i

export function patienceFor (bytes: number): number {
  return PATIENCE_MS + bytes / SLOWEST
}

/** Transfers at a time. */
const PARALLEL = 4

export function createDirect (fetch: FetchLike, clock: Clock): Direct {
  const running = new Set<AbortController>()
  const queue: (() => void)[] = []
  let closed = false

  async function within<Result> (ms: number, run: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    if (running.size >= PARALLEL) await new Promise<void>((resolve) => { queue.push(resolve) })
    const abort = new AbortController()
    const cancel = clock.after(ms, () => { abort.abort(new NodalmergeError('client.blob', 'the transfer takes too long')) })
    running.add(abort)
    const done = (): void => {
      cancel()
      running.delete(abort)
      queue.shift()?.()
    }
    try {
      if (closed) throw new NodalmergeError('client.closed')
      const result = await run(abort.signal)
      done()
      return result
    } catch (cause) {
      done()
      throw cause instanceof NodalmergeError ? cause : new NodalmergeError('client.blob', undefined, { cause })
    }
  }

  async function ask (url: string, method: 'GET' | 'PUT', signal: AbortSignal, content?: { bytes: Uint8Array, type: string }): Promise<ResponseLike> {
    if (!HTTP.test(url)) throw new NodalmergeError('client.blob', 'the server named an address that is not asked')
    const body = content === undefined ? {} : { body: Uint8Array.from(content.bytes) }
    const response = await fetch(url, {
      method,
      headers: content === undefined ? {} : { 'content-type': content.type },
      ...body,
      signal,
      cache: 'no-store',
      credentials: 'omit',
      referrerPolicy: 'no-referrer'
    })
    if (!response.ok) throw new NodalmergeError('client.blob', `the address answered ${response.status}`)
    return response
  }

  return {
    put: (url, bytes, type) => within(patienceFor(bytes.length), async (signal) => {
      const response = await ask(url, 'PUT', signal, { bytes, type })
      await response.body?.getReader().cancel()
    }),
    get: (url, maxBytes) => within(patienceFor(maxBytes), async (signal) => {
      const response = await ask(url, 'GET', signal)
      return await readBounded(response, maxBytes)
    }),
    close () {
      closed = true
      for (const abort of running) abort.abort(new NodalmergeError('client.closed'))
    }
  }
}

/** A length that is announced may be a lie: what arrives is counted. */
async function readBounded ({ body }: ResponseLike, maxBytes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  const reader = body?.getReader()
  let size = 0
  for (let next = await reader?.read(); next?.value !== undefined; next = await reader?.read()) {
    size += next.value.length
    if (size > maxBytes) {
      await reader?.cancel()
      throw new NodalmergeError('client.blob', 'the blob is too large')
    }
    parts.push(next.value)
  }
  return concat(parts)
}
