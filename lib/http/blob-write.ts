import type { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { NodalmergeError } from '../errors.js'
import type { BlobAccess } from './blob-access.js'
import { received } from './blob-body.js'
import type { BlobRoutesOptions } from './blobs.js'

export interface WriteRoutes {
  /** Every check that needs no body. */
  beforePut (request: FastifyRequest, reply: FastifyReply): Promise<unknown>
  put (request: FastifyRequest, reply: FastifyReply): Promise<unknown>
}

/** The handlers of `PUT /blobs/:hash` (spec/storage-and-operations.md §3.4). */
export function createWriteRoutes ({ store, maxBytes, onStored }: BlobRoutesOptions, access: BlobAccess): WriteRoutes {
  return {
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

/** A store that cannot answer has not refused the blob: the client may send it again. */
function asWriteFailure (cause: unknown): never {
  if (cause instanceof NodalmergeError && !cause.code.startsWith('store.')) throw cause
  if (cause instanceof NodalmergeError) throw new NodalmergeError('reject.blob_unavailable', undefined, { cause })
  throw cause
}
