import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { NodalmergeError, REASONS } from '../errors.js'
import type { BlobStore } from '../store/blob-store.js'
import { createBlobAccess, type BlobAuthorize } from './blob-access.js'
import { discardRest } from './blob-body.js'
import { createDirectRoutes } from './blob-direct.js'
import { createReadRoutes } from './blob-read.js'
import { createWriteRoutes } from './blob-write.js'

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

/**
 * The blob origin: `GET`, `HEAD` and `PUT /blobs/:hash`, `GET /blobs/:hash/url`, `POST /blobs/:hash/uploaded`
 * (spec/storage-and-operations.md §3). Register it as a plain plugin, so that its body parser stays in its own scope. Bodies stream
 * both ways and are never held whole. Throws `RangeError` for unusable options.
 */
export async function blobRoutes (app: FastifyInstance, options: BlobRoutesOptions): Promise<void> {
  if (!Number.isSafeInteger(options.maxBytes) || options.maxBytes < 1) throw new RangeError('maxBytes must be a positive integer')
  const access = createBlobAccess(options)
  const told = { ...options, onStored: quietly(options.onStored) }
  const read = createReadRoutes(told, access)
  const write = createWriteRoutes(told, access)
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
  app.route({ method: 'HEAD', url: blob, handler: read.head })
  app.route({ method: 'GET', url: blob, exposeHeadRoute: false, handler: read.get })
  app.route({ method: 'PUT', url: blob, onRequest: write.beforePut, handler: write.put })
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
