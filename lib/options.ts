import { z } from 'zod'
import type { FastifyRequest } from 'fastify'
import type { BlobAuthorize } from './http/blobs.js'
import { limitsSchema } from './room/limits.js'
import type { Action, Asker, Awaitable, Identity, Refusal } from './room/rights.js'
import type { Hello } from './room/server.js'
import type { BlobStore } from './store/blob-store.js'
import type { NodeStore } from './store/node-store.js'

const WRONG_TYPE = { wrongType: true }
const functionOf = <Type>() => z.custom<Type>((value) => typeof value === 'function', { error: 'must be a function', params: WRONG_TYPE })
const bytes32 = z.union([
  z.custom<Uint8Array>((value) => value instanceof Uint8Array, { error: 'must be 32 bytes or 64 hexadecimal digits', params: WRONG_TYPE })
    .refine((bytes) => bytes.length === 32, 'must have 32 bytes'),
  z.string().regex(/^[0-9a-fA-F]{64}$/, 'must be 64 hexadecimal digits')
])
const store = <Type>(methods: string[]) => z.custom<Type>(
  (value) => typeof value === 'object' && value !== null && methods.every((name) => typeof Reflect.get(value, name) === 'function'),
  { error: 'must be a store', params: WRONG_TYPE })

const BlobsHttp = z.strictObject({
  /** A bearer token that every blob request must carry; none = anonymous. */
  token: z.string().min(1).optional(),
  /** Asked before a blob is read or written over HTTP; true lets it through, `{ refused: text, code? }` refuses, with 403 or that code's status. */
  authorize: functionOf<BlobAuthorize>().optional()
})

/** Every option of the plugin. All are optional; unknown names and wrong values are refused at registration. */
export const Options = z.strictObject({
  /** Put before every route: `/sync` gives `/sync/ws/:room`. Default: none. */
  prefix: z.string().optional(),
  /** Folder of the embedded storage: nodes in LevelDB, blobs as files, the server's key. Without it everything is kept in memory. */
  data: z.string().min(1).optional(),
  /** Where nodes are kept, instead of below `data`. */
  nodes: store<NodeStore>(['open', 'close', 'check', 'load', 'append', 'rooms', 'version', 'state', 'putState']).optional(),
  /** Where blobs are kept, instead of below `data`. */
  blobs: store<BlobStore>(['open', 'close', 'check', 'stat', 'get', 'encoded', 'put', 'delete', 'list', 'presign', 'verifyUploaded']).optional(),
  /** Seed of the server's Ed25519 key. Default: a file below `data`, made with mode 0600; in memory: a new one at each start. */
  key: bytes32.optional(),
  /** Public key whose tokens give capabilities in every room, so that an open room can be locked over the wire. */
  operatorKey: bytes32.optional(),
  /** Who is it? Called for every hello; `{ refused: text }` turns the peer away. */
  authenticate: functionOf<(request: FastifyRequest, hello: Hello) => Awaitable<Identity | Refusal>>().optional(),
  /** May it? Called for opening a room, reading, every new node, blobs and commands. */
  authorize: functionOf<(asker: Asker, action: Action) => Awaitable<true | Refusal>>().optional(),
  /** `strict`: persist, acknowledge, relay. `relaxed`: relay first; the acknowledgement still waits for the store. */
  durability: z.enum(['strict', 'relaxed']).default('strict'),
  /** Which blobs a session may read over its socket: those its room names, or any whose hash it knows. */
  readScope: z.enum(['room', 'global']).default('room'),
  /** The blob routes; false = none. */
  blobsHttp: z.union([z.literal(false), BlobsHttp]).default({}),
  /** Every bound of the server. */
  limits: limitsSchema.default(limitsSchema.parse({})),
  /** Threads that verify signatures. */
  verifyThreads: z.number().int().min(1).max(64).optional()
})

/** What a host passes to `register`. */
export type NodalmergeOptions = Omit<z.input<typeof Options>, 'prefix'> & { prefix?: string }
export type ParsedOptions = z.output<typeof Options>

/** Checks what the host passed. Throws TypeError for a wrong type, RangeError for a wrong value; the message names the option. */
export function parseOptions (given: unknown): ParsedOptions {
  const parsed = Options.safeParse(given)
  if (parsed.success) return parsed.data
  const { path, message, wrongType } = explain(parsed.error.issues[0], given, [])
  const text = `option ${path.join('.') || '(root)'}: ${message}`
  throw wrongType ? new TypeError(text) : new RangeError(text)
}

interface Fault { path: PropertyKey[], message: string, wrongType: boolean }

/** Where a fault lies, and whether the value has another type than any that would do; fractions and infinities are wrong values. */
function explain (issue: z.core.$ZodIssue, given: unknown, above: readonly PropertyKey[]): Fault {
  const path = [...above, ...issue.path]
  const value = issue.path.reduce((at, name) => Object(at)[name], given)
  if (issue.code === 'invalid_union') return closest(issue.errors.map(([first]) => explain(first, value, path)))
  const wrongType = issue.code === 'invalid_type'
    ? typeof value !== 'number' || !['number', 'int'].includes(issue.expected)
    : issue.code === 'invalid_value' ? typeof value !== typeof issue.values[0] : issue.code === 'custom' && issue.params?.wrongType === true
  return { path, message: issue.message, wrongType }
}

/** Of the ways in which a value fits none of several shapes, the one that got furthest; a wrong value got further than a wrong type. */
function closest (faults: Fault[]): Fault {
  return faults.reduce((best, fault) => {
    const further = fault.path.length - best.path.length || Number(best.wrongType) - Number(fault.wrongType)
    return further > 0 ? fault : best
  })
}
