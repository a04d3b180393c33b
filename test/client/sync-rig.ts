import type { Test } from 'tap'
import { createPace } from '../../lib/client/pace.js'
import type { ClientFrame } from '../../lib/client/frame.js'
import type { Ed25519 } from '../../lib/client/ed25519.js'
import type { Rejection, ChangeSource } from '../../lib/client/core.js'
import type { Problem } from '../../lib/client/admission.js'
import { type Sync, type SyncParts, createSync } from '../../lib/client/sync.js'
import { createSignatureCheck, createSigner } from '../../lib/crypto/ed25519.js'
import { fromBase64 } from '../../lib/protocol/base64.js'
import { toHex } from '../../lib/protocol/hex.js'
import type { Op } from '../../lib/protocol/op.js'
import { utf8Encode } from '../../lib/protocol/postcard.js'
import { parseServerMessage } from '../../lib/protocol/server-message.js'
import type { Change } from '../../lib/state/change.js'
import { createViews } from '../../lib/state/views.js'
import { type FakeClock, createFakeClock } from '../../lib/testing/clock.js'
import { blake3 } from '../room/harness.js'
import { type MemoryStorage, memoryStorage } from './sync-storage.js'

/** One connection to a server, whatever its dialect. */
export interface Line {
  send (text: string): void
  onFrame (listen: (text: string) => void): void
  onClose (listen: (code: number) => void): void
  close (): void
}

export interface Host { connect (): Line }

export interface Rig {
  readonly sync: Sync
  readonly storage: MemoryStorage
  readonly clock: FakeClock
  readonly rejections: Rejection[]
  readonly problems: Problem[]
  readonly changes: Array<{ change: Change, source: ChangeSource }>
  /** Every frame that was sent and every one that came, oldest first. */
  readonly sent: ClientFrame[]
  readonly received: Array<{ type: string } & Record<string, unknown>>
  readonly resyncs: number
  connect (host: Host, pubkey?: string): void
  /** Cuts the line; nothing that is under way arrives. */
  cut (code?: number): void
  /** Drops frames on their way to the client while it answers false. */
  hear: (type: string) => boolean
  set (key: string, value?: string): void
  get (key: string): string | undefined
}

export interface RigOptions extends Partial<SyncParts> { seedByte?: number, clock?: FakeClock, load?: boolean }

const check = createSignatureCheck()
export const ed25519: Ed25519 = {
  async signer (seed) {
    const signer = createSigner(seed)
    return { publicKey: signer.publicKey, sign: async (message) => signer.sign(message) }
  },
  verify: async (jobs) => jobs.map(({ author, id, signature }) => check(author, id, signature))
}

export const setOp = (key: string, value = 'v'): Op => ({ type: 'map-set', key, value: utf8Encode(value) })

const EXT = ['ack', 'literal-missing', 'rate']

export async function createRig (t: Test, options: RigOptions = {}): Promise<Rig> {
  const storage = (options.storage ?? memoryStorage()) as MemoryStorage
  const clock = options.clock ?? createFakeClock()
  const rejections: Rejection[] = []
  const problems: Problem[] = []
  const changes: Rig['changes'] = []
  const sent: ClientFrame[] = []
  const received: Rig['received'] = []
  let line: Line | null = null
  let resyncs = 0
  const pace = createPace(clock)
  // Our server names its rate once it does; the one in memory has none.
  const unhurried = { ...pace, get limit () { return pace.limit }, welcomed: ({ known }: { known: boolean }) => pace.welcomed({ known, rate: known ? { nodes: 0, bytes: 0 } : undefined }) }
  const sync = await createSync({
    ed25519,
    blake3,
    pace: unhurried,
    seed: new Uint8Array(32).fill(options.seedByte ?? 1),
    views: (confirmed) => createViews({ confirmed }),
    send (frame) {
      if (line === null) return false
      sent.push(frame)
      line.send(JSON.stringify(frame))
      return true
    },
    resync () { resyncs++ },
    ...options,
    clock,
    storage
  })
  sync.onRejection((rejection) => rejections.push(rejection))
  sync.onProblem((problem) => problems.push(problem))
  sync.onChange((change, source) => changes.push({ change, source }))
  if (options.load !== false) await sync.load()
  t.teardown(() => sync.close())

  function hear (text: string): void {
    const message = parseServerMessage(text)
    received.push(message as Rig['received'][number])
    if (!rig.hear(message.type)) return
    if (message.type === 'welcome') {
      unhurried.welcomed({ known: (message.ext ?? []).length > 0 })
      sync.welcome(message, { ext: new Set(message.ext) })
    } else if (message.type === 'pack') sync.pack(fromBase64(message.nodes))
    else if (message.type === 'pack-ack') sync.ack(message)
    else if (message.type === 'error') sync.refused(message)
  }

  const rig: Rig = {
    sync,
    storage,
    clock,
    rejections,
    problems,
    changes,
    sent,
    received,
    get resyncs () { return resyncs },
    connect (host, pubkey = toHex(sync.author)) {
      const own = host.connect()
      line = own
      own.onFrame((text) => { if (line === own) hear(text) })
      own.onClose((code) => { if (line === own) rig.cut(code) })
      own.send(JSON.stringify({ type: 'hello', pubkey, ...sync.greeting(), caps: { supports_ibf: false, supports_mst: false }, client: { name: 'rig', version: '1', ext: EXT } }))
    },
    cut (code) {
      const own = line
      line = null
      own?.close()
      sync.disconnected()
      if (code === 4008) pace.strained('rate')
      if (code === 1009) pace.strained('size')
    },
    hear: () => true,
    set (key, value) { sync.write([setOp(key, value)]) },
    get (key) {
      const value = sync.views.document.map.get(key)
      return value === undefined ? undefined : Buffer.from(value).toString()
    }
  }
  return rig
}

/** Lets the event loop go round until something is so; fails loudly when it never is. */
export async function until (look: () => boolean, what: string, turns = 5000): Promise<void> {
  for (let turn = 0; !look(); turn++) {
    if (turn === turns) throw new Error(`never: ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

export async function turns (count = 30): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}
