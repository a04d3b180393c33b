import type { Clock } from '../clock.js'
import { NodalmergeError } from '../errors.js'
import type { Token } from './frame.js'

/** What a token is asked for. `signal` is aborted when nobody waits for it any more. */
export interface TokenRequest { room: string, pubkey: string, signal: AbortSignal }

/** A token, or how to get one. None at all is fine for an open room. */
export type Auth = Token | ((request: TokenRequest) => Promise<Token | null | undefined> | Token | null | undefined)

export interface TokenSource {
  /** Whether another token may be had after this one. */
  readonly refreshable: boolean
  /** A token that is good for more than five seconds. Throws what the callback threw, and `client.token` when it takes too long or answers something else. */
  get (): Promise<Token | undefined>
  /** Forgets every token. */
  invalidate (): void
  /** Forgets the token that was given out last; one that was fetched ahead since then is kept. */
  spent (): void
  /** Fetches nothing ahead of time until the next `get`; what is under way is aborted. */
  rest (): void
}

export interface TokenOptions {
  auth: Auth | undefined
  room: string
  pubkey: string
  clock: Clock
  /** Told when a token could not be had ahead of time; the next `get` will try again. */
  failed: (error: unknown) => void
}

/** Left of a token's life below which it is not used, and at which the next one is fetched (spec/client.md §5.14). */
const SLACK_MS = 5_000
const LEAD_MS = 30_000
/** The callback's time. */
const PATIENCE_MS = 30_000
/** Timers of some platforms fire at once above this. */
const LONGEST_TIMER_MS = 2_147_483_647

/** Tokens of a link (spec/client.md §7.2): kept while they last, fetched anew half a minute before they end. */
export function createTokenSource ({ auth, room, pubkey, clock, failed }: TokenOptions): TokenSource {
  let held: Token | undefined
  let given: Token | undefined
  let asked: { answer: Promise<Token | undefined>, abort: AbortController } | null = null
  let cancelAhead = (): void => {}
  let resting = false

  function ask (provide: Exclude<Auth, Token>): Promise<Token | undefined> {
    if (asked !== null) return asked.answer
    const abort = new AbortController()
    const answer = within(clock, abort, async () => read(await provide({ room, pubkey, signal: abort.signal })))
    const own = { answer, abort }
    asked = own
    const done = (): void => { if (asked === own) asked = null }
    answer.then((token) => {
      if (asked === own) keep(token, provide)
      done()
    }, done)
    return answer
  }

  function keep (token: Token | undefined, provide: Exclude<Auth, Token>): void {
    held = token
    cancelAhead()
    const left = timeLeft(token, clock.now())
    if (left > LEAD_MS && left < Infinity) cancelAhead = later(clock, left - LEAD_MS, () => { ask(provide).catch((error: unknown) => { if (!resting) failed(error) }) })
  }

  return {
    refreshable: isProvider(auth),
    async get () {
      if (!isProvider(auth)) return auth
      resting = false
      const left = timeLeft(held, clock.now())
      given = left > SLACK_MS && left < Infinity ? held : await ask(auth)
      return given
    },
    invalidate () { held = undefined },
    spent () { if (held === given) held = undefined },
    rest () {
      resting = true
      cancelAhead()
      asked?.abort.abort()
      asked = null
    }
  }
}

function isProvider (auth: Auth | undefined): auth is Exclude<Auth, Token> {
  return typeof auth === 'function'
}

/** Milliseconds; Infinity when the token does not say when it ends. */
function timeLeft (token: Token | undefined, now: number): number {
  if (token === undefined) return 0
  const expiry = token.expiry ?? token.expiry_secs
  return typeof expiry === 'number' && Number.isFinite(expiry) ? expiry * 1000 - now : Infinity
}

function read (answer: unknown): Token | undefined {
  if (answer === null || answer === undefined) return undefined
  if (typeof answer === 'object' && !Array.isArray(answer)) return { ...answer }
  throw new NodalmergeError('client.token', 'the auth callback answered something that is no token')
}

function within (clock: Clock, abort: AbortController, run: () => Promise<Token | undefined>): Promise<Token | undefined> {
  return new Promise((resolve, reject) => {
    const late = new NodalmergeError('client.token', 'the auth callback takes too long')
    const cancel = clock.after(PATIENCE_MS, () => { abort.abort(late) })
    abort.signal.addEventListener('abort', () => { reject(late) })
    run().then(resolve, reject).finally(cancel)
  })
}

/** A timer of any length. */
function later (clock: Clock, ms: number, run: () => void): () => void {
  const arm = (left: number): () => void => clock.after(Math.min(left, LONGEST_TIMER_MS), () => {
    if (left > LONGEST_TIMER_MS) cancel = arm(left - LONGEST_TIMER_MS)
    else run()
  })
  let cancel = arm(ms)
  return () => { cancel() }
}
