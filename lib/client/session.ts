import type { Clock } from '../clock.js'
import { NodalmergeError } from '../errors.js'
import { fromBase64 } from '../protocol/base64.js'
import type { UnknownMessage } from '../protocol/message.js'
import { type ErrorMessage, type PackAck, type ServerMessage, type Welcome, parseServerMessage } from '../protocol/server-message.js'
import { type Sequel, retry, sequelOf } from './closing.js'
import { type Connection, createConnection } from './connection.js'
import type { ClientFrame } from './frame.js'
import { EXTENSIONS, type Greeting, type HelloOptions, helloFrame } from './greeting.js'
import type { OpenSocket } from './socket.js'
import type { TokenSource } from './token.js'

/** What a link hands on. A handler that throws costs its frame, no more. */
export interface SessionHandlers {
  /** What `hello` says of the replica; asked for once a session. */
  greeting (): Greeting
  /** The session has begun: frames can be sent. `ext` is what both sides speak. */
  welcome (welcome: Welcome, link: { ext: ReadonlySet<string> }): void
  /** The bytes of a pack and whom they are from, in the order of arrival; with some servers before the welcome. */
  pack (bytes: Uint8Array, from: string): void
  ack (ack: PackAck): void
  /** An `error` message of the server. */
  error (error: ErrorMessage): void
  /** Every other message. */
  message (message: ServerMessage | UnknownMessage): void
  /** A frame that could not be used, a token that could not be had: something to tell, nothing to do. */
  fault (error: unknown): void
}

export interface SessionOptions {
  address: string
  hello: Omit<HelloOptions, 'token' | 'subscribe' | 'ext'>
  subscribe: () => readonly string[] | undefined
  open: OpenSocket
  tokens: TokenSource
  clock: Clock
  handlers: SessionHandlers
  /** The socket is open and `hello` is out. */
  greeted (): void
  /** The welcome has come; before the handler hears of it. */
  begun (welcome: Welcome, ext: ReadonlySet<string>): void
  /** Once, at the end, unless it was left. */
  ended (sequel: Sequel): void
}

/** One attempt: token, socket, hello, and the session that follows. */
export interface Session {
  readonly buffered: number
  /** Whether the frame was handed to the socket; never before the welcome. */
  send (message: ClientFrame): boolean
  /** Asks the server for a sign of life, when it is one that answers. */
  probe (): void
  /** Ends it without a sequel. */
  leave (): void
}

/** Time for a socket to open, and for a welcome: a server may load the room for 15 s, and lets a refused client wait for 30. */
const OPEN_MS = 20_000
const WELCOME_MS = 45_000
/** Frames that cannot be used before the server is given up for this time. */
const MAX_MALFORMED = 16
/** Silence after which a server of ours is asked for a sign of life, and how long it has; a large blob may be on its way. */
const QUIET_MS = 30_000
const ANSWER_MS = 60_000

const REFUSE = (): boolean => false

type Phase = 'opening' | 'greeting' | 'open' | 'over'

export function createSession (options: SessionOptions): Session {
  const { clock, handlers, tokens } = options
  let phase: Phase = 'opening'
  let connection: Connection | null = null
  let speak: Connection['send'] = REFUSE
  let transmit: Connection['send'] = REFUSE
  let lastError: ErrorMessage | null = null
  let malformed = 0
  let heard = 0
  let answers = false
  let asked = false
  let cancel = (): void => {}

  /** Asked again after every call that may have come back to `leave`. */
  const over = (): boolean => phase === 'over'

  function end (sequel: Sequel | null): void {
    if (over()) return
    phase = 'over'
    transmit = REFUSE
    cancel()
    connection?.leave()
    if (sequel !== null) options.ended(sequel)
  }

  /** There is one timer at a time: for the socket, for the welcome, then for signs of life. */
  function within (ms: number, late: () => void): void {
    cancel()
    cancel = clock.after(ms, late)
  }

  function start (token: HelloOptions['token']): void {
    if (over()) return
    within(OPEN_MS, () => { end(retry('the server does not answer')) })
    const made = createConnection(options.open(options.address), {
      open: (opened) => { greet(opened, token) },
      frame: receive,
      binary: () => { fault(new NodalmergeError('reject.protocol_binary_frame')) },
      closed (closed) {
        end(sequelOf({ ...closed, error: lastError, welcomed: phase === 'open', refreshable: tokens.refreshable }))
      }
    })
    if (over()) made.leave()
    else connection = made
  }

  function greet (opened: Connection, token: HelloOptions['token']): void {
    connection = opened
    speak = opened.send
    phase = 'greeting'
    within(WELCOME_MS, () => { end(retry('the server does not welcome')) })
    try {
      const hello = helloFrame({ ...options.hello, token, subscribe: options.subscribe(), ext: EXTENSIONS }, handlers.greeting())
      opened.send(JSON.stringify(hello))
    } catch (error) {
      handlers.fault(error)
      return end(retry('there is nothing to greet with'))
    }
    options.greeted()
  }

  function receive (text: string): void {
    heard = clock.now()
    if (asked) watch()
    try {
      handle(parseServerMessage(text))
    } catch (error) {
      fault(error)
    }
  }

  function fault (error: unknown): void {
    handlers.fault(error)
    // Without a welcome that can be read there will be no session.
    const hopeless = phase === 'greeting' && error instanceof NodalmergeError && error.message.startsWith('welcome: ')
    if (hopeless || ++malformed >= MAX_MALFORMED) end(retry('the server sends what cannot be read'))
  }

  function handle (message: ServerMessage | UnknownMessage): void {
    switch (message.type) {
      case 'pack': return handlers.pack(fromBase64(message.nodes), message.from)
      case 'pack-ack': return handlers.ack(message)
      case 'welcome': return welcomed(message)
      case 'error':
        lastError = message
        return handlers.error(message)
      default: return handlers.message(message)
    }
  }

  function welcomed (welcome: Welcome): void {
    if (phase !== 'greeting') throw new NodalmergeError('reject.protocol_invalid_message', 'a second welcome')
    phase = 'open'
    transmit = speak
    const ext = new Set<string>(EXTENSIONS.filter((name) => welcome.ext.includes(name)))
    answers = ext.size > 0
    watch()
    options.begun(welcome, ext)
    if (!over()) handlers.welcome(welcome, { ext })
  }

  /** A page does not see pings, and a network that went away says nothing: ask when it has been quiet. */
  function watch (): void {
    const quiet = clock.now() - heard
    asked = false
    if (!answers) cancel()
    else if (quiet >= QUIET_MS) probe()
    else within(QUIET_MS - quiet, watch)
  }

  function probe (): void {
    if (phase !== 'open' || !answers || asked) return
    asked = true
    transmit('{"type":"server-info"}')
    within(ANSWER_MS, () => { end(retry('the server has fallen silent')) })
  }

  function noToken (error: unknown): void {
    if (over()) return
    handlers.fault(error)
    const reason = error instanceof Error ? error.message : String(error)
    end(error instanceof NodalmergeError && !error.retry ? { then: 'denied', code: 0, reason } : retry(reason))
  }

  tokens.get().then(start).catch(noToken)
  return {
    get buffered () { return connection?.buffered ?? 0 },
    send: (message) => transmit(JSON.stringify(message)),
    probe,
    leave: () => { end(null) }
  }
}
