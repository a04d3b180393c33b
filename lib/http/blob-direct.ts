import type { FastifyReply, FastifyRequest } from 'fastify'
import { NodalmergeError, REASONS } from '../errors.js'
import type { PresignRequest } from '../store/blob-store.js'
import type { BlobAccess } from './blob-access.js'
import type { BlobRoutesOptions } from './blobs.js'
import { expiryText } from './expiry.js'

/** Largest object a client may put directly, in bytes: what one request to an S3 store can carry. */
const MAX_DIRECT_BYTES = 5 * 1024 ** 3

interface UrlQuery { op: 'get' | 'put', about: PresignRequest }

/** Reads `?op=…&size=…&contentType=…`. For `get` the size is a hint, and one that cannot be read is ignored. */
export function readUrlQuery (query: unknown, maxBytes: number): UrlQuery {
  const { op, size, contentType } = { op: '', size: '', contentType: '', ...(query as Record<string, unknown>) }
  if (op !== 'get' && op !== 'put') throw new NodalmergeError('reject.blob_op_invalid')
  const bytes = typeof size === 'string' && /^\d{1,15}$/.test(size) ? Number(size) : 0
  if (op === 'put' && bytes === 0) throw new NodalmergeError('reject.blob_size_invalid')
  if (op === 'put' && bytes > maxBytes) throw new NodalmergeError('reject.blob_too_large')
  // It becomes part of a signature and of a header: printable, and no longer than a media type is.
  if (typeof contentType !== 'string' || !/^[ -~]{0,255}$/.test(contentType)) throw new NodalmergeError('reject.blob_query_invalid')
  // The room-less routes name no room; the value is the one the original servers send (spec/storage-and-operations.md §2.5).
  return { op, about: { room: '_global', size: bytes, ...(contentType === '' ? {} : { contentType }) } }
}

export interface DirectRoutes {
  url (request: FastifyRequest, reply: FastifyReply): Promise<unknown>
  uploaded (request: FastifyRequest, reply: FastifyReply): Promise<unknown>
}

/** The handlers of `GET /blobs/:hash/url` and `POST /blobs/:hash/uploaded` (spec/storage-and-operations.md §3.5). */
export function createDirectRoutes ({ store, maxDirectBytes = MAX_DIRECT_BYTES, onStored }: BlobRoutesOptions, access: BlobAccess): DirectRoutes {
  return {
    async url (request, reply) {
      const hash = access.check(request)
      const { op, about } = readUrlQuery(request.query, maxDirectBytes)
      if (!await access.permit(request, reply, { op: 'url', hash, direction: op })) return reply
      const grant = store.manifest.presign ? await store.presign(op, hash, about) : null
      if (grant === null) throw new NodalmergeError('reject.blob_presign_unsupported')
      return { url: grant.url, expiresAtUtc: expiryText(grant.expiresAt.getTime() / 1000) }
    },

    async uploaded (request, reply) {
      const hash = access.check(request)
      if (!await access.permit(request, reply, { op: 'uploaded', hash })) return reply
      if (!store.manifest.presign) throw new NodalmergeError('reject.blob_presign_unsupported')
      const verdict = await store.verifyUploaded(hash)
      if (!verdict.ok) return await reply.code(REASONS['reject.blob_upload_rejected'].status).send({ error: verdict.reason })
      await onStored?.(request, { hash, size: verdict.size, via: 'direct' })
      return await reply.code(200).send()
    }
  }
}
