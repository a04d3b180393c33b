import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { NodalmergeError, REASONS, type Code } from '../errors.js'
import { isBlobHash } from '../store/blob-store.js'

/** What a request wants to do with a blob. `url` asks for a presigned URL, `direction` says to do what. */
export type BlobAction =
  { op: 'get' | 'head' | 'put' | 'uploaded', hash: string } |
  { op: 'url', hash: string, direction: 'get' | 'put' }

/** The host's no: the text for the client, and a code of the error table that gives the status; default 403, `unauthorized.denied`. */
export interface BlobRefusal { refused: string, code?: Code }

export type BlobAuthorize = (request: FastifyRequest, action: BlobAction) => true | BlobRefusal | Promise<true | BlobRefusal>

export interface BlobAccess {
  /** Checks name and token, in this order; throws `reject.blob_hash_invalid` or `reject.blob_unauthorized`. Returns the name. */
  check (request: FastifyRequest): string
  /** Asks the host. A refusal has been answered when false comes back. */
  permit (request: FastifyRequest, reply: FastifyReply, action: BlobAction): Promise<boolean>
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

export function createBlobAccess ({ token, authorize }: { token?: string | undefined, authorize?: BlobAuthorize | undefined }): BlobAccess {
  if (token === '') throw new RangeError('token must not be empty')
  const expected = token === undefined ? null : digest(token)
  return {
    check (request) {
      const { hash } = request.params as { hash: string }
      if (!isBlobHash(hash)) throw new NodalmergeError('reject.blob_hash_invalid')
      const given = /^bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? ''
      if (expected !== null && !timingSafeEqual(digest(given), expected)) throw new NodalmergeError('reject.blob_unauthorized')
      return hash
    },

    async permit (request, reply, action) {
      if (authorize === undefined) return true
      const answer: unknown = await authorize(request, action)
      if (answer === true) return true
      refuse(reply, answer)
      return false
    }
  }
}

/** Answers with the host's refusal. Anything that is neither true nor a refusal is a no as well. */
function refuse (reply: FastifyReply, answer: unknown): void {
  const { code, refused } = { code: '', refused: '', ...(answer as Partial<BlobRefusal> | null) }
  const reason = Object.hasOwn(REASONS, code) ? REASONS[code as Code] : REASONS['unauthorized.denied']
  if (reason.status === 401) reply.header('www-authenticate', 'Bearer')
  reply.code(reason.status).send({ error: refused === '' ? reason.message : refused })
}
