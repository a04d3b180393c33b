import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { NodalmergeError } from '../errors.js'
import type { BlobStore } from '../store/blob-store.js'
import { acceptsZstd } from './accept-encoding.js'
import type { BlobAccess } from './blob-access.js'
import type { BlobRoutesOptions } from './blobs.js'
import { matchesTag, tagOf } from './entity-tag.js'
import { parseRange } from './range.js'

export interface ReadRoutes {
  head (request: FastifyRequest, reply: FastifyReply): Promise<unknown>
  get (request: FastifyRequest, reply: FastifyReply): Promise<unknown>
}

interface KnownBlob { hash: string, size: number | null }

/** The handlers of `HEAD` and `GET /blobs/:hash` (spec/storage-and-operations.md §3.3). */
export function createReadRoutes ({ store, token, authorize }: BlobRoutesOptions, access: BlobAccess): ReadRoutes {
  const scope = token === undefined && authorize === undefined ? 'public' : 'private'

  /** The checks and headers both share. Null when the answer is given already: a refusal, or 304. */
  async function found (request: FastifyRequest, reply: FastifyReply, op: 'get' | 'head'): Promise<KnownBlob | null> {
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
async function sendRange (store: BlobStore, request: FastifyRequest, reply: FastifyReply, blob: KnownBlob): Promise<FastifyReply> {
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
