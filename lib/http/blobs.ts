import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { NodalmergeError, REASONS } from '../errors.js'
import type { BlobStore } from '../store/blob-store.js'
import { acceptsZstd } from './accept-encoding.js'
import { createBlobAccess, type BlobAccess, type BlobAuthorize } from './blob-access.js'
import { discardRest, received } from './blob-body.js'
import { createDirectRoutes } from './blob-direct.js'
import { matchesTag, tagOf } from './entity-tag.js'
import { parseRange } from './range.js'

export type { BlobAction, BlobAuthorize, BlobRefusal } from './blob-access.js'

/** A blob that was put, also when it was there before. `size` in bytes. */
export interface StoredBlob { hash: string, size: number, via: 'http' | 'direct' }

export interface BlobRoutesOptions {
  store: BlobStore
  /** Largest body of a PUT, in bytes, counted as it arrives. */
  maxBytes: number
  /** One static secret, sent as `Authorization: Bearer …`; compared in constant time. Default: none is asked for. */
  token?: string | undefined
  /** The host's own check, asked after the token. True lets the request through; anything else refuses it. */
  authorize?: BlobAuthorize | undefined
  /** Largest object a presigned PUT is granted for, in bytes. Default 5 GiB. */
  maxDirectBytes?: number | undefined
  /** Told after a blob is durable and before the client is answered; when it throws, the failure is logged and nothing else. */
  onStored?: ((request: FastifyRequest, stored: StoredBlob) => void | Promise<void>) | undefined
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>

/**
 * The blob origin: `GET`, `HEAD` and `PUT /blobs/:hash`, `GET /blobs/:hash/url`, `POST /blobs/:hash/uploaded`
 * (spec/storage-and-operations.md §3). Register it as a plain plugin, so that its body parser stays in its own scope. Bodies stream
 * both ways and are never held whole. Throws `RangeError` for unusable options.
 */
export async function blobRoutes (app: FastifyInstance, options: BlobRoutesOptions): Promise<void> {
  if (!Number.isSafeInteger(options.maxBytes) || options.maxBytes < 1) throw new RangeError('maxBytes must be a positive integer')
  const access = createBlobAccess(options)
  const told = { ...options, onStored: quietly(options.onStored) }
  const content = createContentRoutes(told, access)
  const direct = createDirectRoutes(told, access)

  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => { done(null, payload) })
  app.setErrorHandler(answerError)
  app.addHook('onRequest', async (_request, reply) => {
    // Blobs are user content: never sniffed, never run as a page of this origin, and no refusal is ever cached.
    reply.headers({ 'x-content-type-options': 'nosniff', 'content-security-policy': 'sandbox', 'cache-control': 'no-store' })
  })
  app.addHook('onSend', async (request, _reply, payload) => {
    // Before the end of the answer, when node would begin to drop an unread body without any bound.
    discardRest(request.raw, 2 * options.maxBytes)
    return payload
  })

  const blob = '/blobs/:hash'
  app.route({ method: 'HEAD', url: blob, handler: content.head })
  app.route({ method: 'GET', url: blob, exposeHeadRoute: false, handler: content.get })
  app.route({ method: 'PUT', url: blob, onRequest: content.beforePut, handler: content.put })
  app.route({ method: 'GET', url: `${blob}/url`, exposeHeadRoute: false, handler: direct.url })
  app.route({ method: 'POST', url: `${blob}/uploaded`, handler: direct.uploaded })
  otherMethods(app, blob, ['GET', 'HEAD', 'PUT'])
  otherMethods(app, `${blob}/url`, ['GET'])
  otherMethods(app, `${blob}/uploaded`, ['POST'])
}

/** What is known of a blob is a record; losing it must not undo an upload that is durable. */
function quietly (onStored: BlobRoutesOptions['onStored']): BlobRoutesOptions['onStored'] {
  return async (request, stored) => {
    try {
      await onStored?.(request, stored)
    } catch (err) {
      request.log.warn({ err, hash: stored.hash }, 'a stored blob could not be recorded')
    }
  }
}

/** Answers 405 to what a known path does not do. OPTIONS is left to the host, whose CORS plugin answers it. */
function otherMethods (app: FastifyInstance, url: string, allowed: string[]): void {
  const method = app.supportedMethods.filter((name) => name !== 'OPTIONS' && !allowed.includes(name))
  app.route({
    method,
    url,
    exposeHeadRoute: false,
    handler: async (_request, reply) => {
      reply.header('allow', allowed.join(', '))
      throw new NodalmergeError('reject.blob_method')
    }
  })
}

interface ContentRoutes { head: Handler, get: Handler, beforePut: Handler, put: Handler }

function createContentRoutes (options: BlobRoutesOptions, access: BlobAccess): ContentRoutes {
  const { store, maxBytes, token, authorize, onStored } = options
  const scope = token === undefined && authorize === undefined ? 'public' : 'private'

  /** The checks and headers GET and HEAD share. Null when the answer is given already: a refusal, or 304. */
  async function found (request: FastifyRequest, reply: FastifyReply, op: 'get' | 'head'): Promise<{ hash: string, size: number | null } | null> {
    addVary(reply)
    const hash = access.check(request)
    if (!await access.permit(request, reply, { op, hash })) return null
    const known = await store.stat(hash)
    if (known === null) throw new NodalmergeError('reject.blob_not_found')
    reply.headers({ etag: tagOf(hash), 'cache-control': `${scope}, max-age=31536000, immutable` })
    if (matchesTag(request.headers['if-none-match'], hash)) {
      reply.code(304).send()
      return null
    }
    reply.headers({ 'content-type': 'application/octet-stream', 'accept-ranges': 'bytes' })
    return { hash, size: known.size }
  }

  return {
    async head (request, reply) {
      const blob = await found(request, reply, 'head')
      if (blob === null) return reply
      if (blob.size !== null) reply.header('content-length', blob.size)
      return await reply.code(200).send()
    },

    async get (request, reply) {
      const blob = await found(request, reply, 'get')
      if (blob === null) return reply
      const { range, 'accept-encoding': accepted } = request.headers
      if (range !== undefined) return await sendRange(store, request, reply, blob)
      const frame = acceptsZstd(accepted) ? await store.encoded(blob.hash) : null
      if (frame !== null) return send(reply.header('content-encoding', 'zstd'), frame.size, frame.stream)
      return await sendWhole(store, reply, blob.hash)
    },

    async beforePut (request, reply) {
      const hash = access.check(request)
      if (!await access.permit(request, reply, { op: 'put', hash })) return reply
      if (request.headers['content-encoding'] !== undefined) throw new NodalmergeError('reject.blob_encoding')
      if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw new NodalmergeError('reject.blob_too_large')
      // Any content type is accepted and ignored; the framework would refuse a malformed one.
      delete request.headers['content-type']
    },

    async put (request, reply) {
      const { hash } = request.params as { hash: string }
      const body = received(request.body as Readable | undefined)
      const outcome = await store.put(hash, body.chunks, { maxBytes }).catch(asWriteFailure)
      await onStored?.(request, { hash, size: body.size(), via: 'http' })
      return await reply.code(outcome === 'exists' ? 200 : 201).send()
    }
  }
}

/** Whoever sets `Vary` before us, a CORS plugin for one, keeps what it set. */
function addVary (reply: FastifyReply): void {
  const before = reply.getHeader('vary')
  reply.header('vary', before === undefined ? 'Accept-Encoding' : `${String(before)}, Accept-Encoding`)
}

function send (reply: FastifyReply, length: number, stream: AsyncIterable<Uint8Array>): FastifyReply {
  return reply.header('content-length', length).send(Readable.from(stream, { objectMode: false }))
}

async function sendWhole (store: BlobStore, reply: FastifyReply, hash: string): Promise<FastifyReply> {
  const content = await store.get(hash)
  if (content === null) throw new NodalmergeError('reject.blob_not_found')
  return send(reply, content.size, content.stream)
}

/** A part of the raw content, when the client still holds the rest of this very blob. */
async function sendRange (store: BlobStore, request: FastifyRequest, reply: FastifyReply, blob: { hash: string, size: number | null }): Promise<FastifyReply> {
  const { range = '', 'if-range': ifRange } = request.headers
  if (ifRange !== undefined && ifRange !== tagOf(blob.hash)) return await sendWhole(store, reply, blob.hash)
  const size = blob.size ?? (await store.get(blob.hash))?.size
  if (size === undefined) throw new NodalmergeError('reject.blob_not_found')
  const wanted = parseRange(range, size)
  if (wanted === 'whole') return await sendWhole(store, reply, blob.hash)
  if (wanted === 'unsatisfiable') {
    reply.header('content-range', `bytes */${size}`)
    throw new NodalmergeError('reject.blob_range')
  }
  const content = await store.get(blob.hash, wanted)
  if (content === null) throw new NodalmergeError('reject.blob_not_found')
  reply.code(206).header('content-range', `bytes ${wanted.first}-${wanted.last}/${size}`)
  return send(reply, wanted.last + 1 - wanted.first, content.stream)
}

/** A store that cannot answer has not refused the blob: the client may send it again. */
function asWriteFailure (cause: unknown): never {
  if (cause instanceof NodalmergeError && !cause.code.startsWith('store.')) throw cause
  if (cause instanceof NodalmergeError) throw new NodalmergeError('reject.blob_unavailable', undefined, { cause })
  throw cause
}

/** Every error as `{"error": text}`. Texts come from the table: an adapter's own may name paths or hosts. */
function answerError (error: Error & { statusCode?: number }, request: FastifyRequest, reply: FastifyReply): void {
  const known = error instanceof NodalmergeError
  const reason = known ? REASONS[error.code] : { status: error.statusCode ?? 500, message: error.message }
  if (reason.status >= 500) request.log.error({ err: error }, 'a blob request failed')
  for (const name of ['etag', 'content-encoding', 'accept-ranges', 'content-type', 'content-length']) reply.removeHeader(name)
  if (reason.status !== 416) reply.removeHeader('content-range')
  if (reason.status === 401) reply.header('www-authenticate', 'Bearer')
  const text = reason.status >= 500 && !known ? REASONS['reject.internal'].message : reason.message
  reply.header('cache-control', 'no-store').code(reason.status).send({ error: text })
}
