import type { Clock } from '../clock.js'
import type { Reconnect } from './backoff.js'
import type { RoomCipher } from './encryption.js'
import type { PresenceOptions } from './presence.js'
import { type WebSocketClass, roomUrl } from './socket.js'
import type { Storage } from './storage.js'
import type { Auth } from './token.js'

export interface DocOptions {
  /** Where the server is: `wss://example.org` or `https://example.org`, with the plugin's prefix if it has one. */
  url: string
  /** The room's id. */
  room: string
  /** Where the document is kept. Default: in memory, which ends with the process or the page. */
  storage?: Storage
  /**
   * The user's Ed25519 seed, 32 bytes. Default: one that is made and kept in the storage. A seed that is given without durable storage
   * must not write anywhere else at the same time, nor here before `whenSynced`: two nodes of one key and one Lamport value would give
   * one id to two characters, and what an earlier run wrote with it is only known from the server.
   */
  identity?: Uint8Array
  /** A room token, or a function that gets one. Default: none. */
  auth?: Auth
  /** Keys to follow, as patterns. Default: everything. */
  subscribe?: readonly string[]
  /** Whether to connect at once. Default true. */
  connect?: boolean
  /** How long typing is gathered before it becomes a node, in milliseconds. Default 20. */
  flushMs?: number
  /** Whether blobs are fetched when the document mentions them, or when they are asked for. Default `lazy`. */
  blobs?: 'lazy' | 'eager'
  presence?: PresenceOptions
  reconnect?: Partial<Reconnect>
  /** Hides what is written from the server: `createRoomCipher` of `nodalmerge/client/encryption`. */
  encryption?: RoomCipher
  /** Default: the platform's; where there is none, that of `ws`. */
  webSocket?: WebSocketClass
  /** Hears of faults while nobody listens to `error`. Default `console`. */
  logger?: Pick<Console, 'warn'>
  /** Closes the document. */
  signal?: AbortSignal
  clock?: Clock
  /** Numbers in [0, 1), for the jitter of reconnecting. */
  random?: () => number
}

const KNOWN: Readonly<Record<keyof DocOptions, (value: unknown) => boolean>> = {
  url: isText,
  room: isText,
  storage: isObject,
  identity: (value) => value instanceof Uint8Array,
  auth: (value) => typeof value === 'function' || isObject(value),
  subscribe: (value) => Array.isArray(value) && value.every(isText),
  connect: (value) => typeof value === 'boolean',
  flushMs: isNumber,
  blobs: isText,
  presence: isNumbers,
  reconnect: isNumbers,
  encryption: isObject,
  webSocket: (value) => typeof value === 'function',
  logger: isObject,
  signal: isObject,
  clock: isObject,
  random: (value) => typeof value === 'function'
}

/** Throws TypeError for what is missing or of a wrong type, RangeError for a name that is no option and a value that none can have. */
export function checkOptions (options: DocOptions): void {
  if (!isObject(options)) throw new TypeError('createDoc takes an object of options')
  for (const name of ['url', 'room'] as const) if (!isText(options[name])) throw new TypeError(`${name} is a text and has to be given`)
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(KNOWN, name)) throw new RangeError(`there is no option ${name}`)
    if (value !== undefined && !KNOWN[name as keyof DocOptions](value)) throw new TypeError(`the option ${name} is of another type`)
  }
  roomUrl(options.url, options.room)
  const { blobs, flushMs, presence, reconnect } = options
  if (blobs !== undefined && blobs !== 'lazy' && blobs !== 'eager') throw new RangeError("blobs is 'lazy' or 'eager'")
  for (const value of [flushMs, ...Object.values({ ...presence, ...reconnect })]) if (value !== undefined && !(value >= 0)) throw new RangeError('times are not negative')
}

function isText (value: unknown): value is string {
  return typeof value === 'string'
}

function isNumber (value: unknown): value is number {
  return typeof value === 'number'
}

function isNumbers (value: unknown): boolean {
  return isObject(value) && Object.values(value).every((entry) => entry === undefined || isNumber(entry))
}

function isObject (value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
