import type { SessionCaps } from '../protocol/caps.js'
import type { Base64, Hex } from '../protocol/server-message.js'
import type { HelloFrame, Token } from './frame.js'

/** What a replica says of itself: of the confirmed nodes only. */
export interface Greeting {
  frontier: readonly Hex[]
  root?: Hex
  /** All ids; for hosts that can use them. */
  known?: readonly Hex[]
  /** A filter over all ids (spec/wire-format.md §10). */
  ibf?: Base64
}

/** Extensions of spec/client.md §11.1 that this client speaks. */
export const EXTENSIONS = ['ack', 'literal-missing', 'rate'] as const

const VERSION = '0.1.0'

export interface HelloOptions {
  room: string
  pubkey: string
  /** Whether blobs may travel by presigned addresses. */
  direct: boolean
  subscribe: readonly string[] | undefined
  token: Token | undefined
  ext: readonly string[]
}

/**
 * The first frame (spec/session-protocol.md §1.3). Filters count as negotiated even though mostly none is sent: an original server
 * answers a client that cannot have them with the list of everything it holds (§1.8), sixty-seven bytes a node, and nothing to use it
 * for. The trie is never asked for: its descent is not complete (§2.7).
 */
export function helloFrame ({ room, pubkey, direct, subscribe, token, ext }: HelloOptions, greeting: Greeting): HelloFrame {
  return {
    type: 'hello',
    room,
    pubkey,
    ...greeting,
    caps: capsOf(direct),
    ...(subscribe === undefined ? {} : { subscribe }),
    ...(token === undefined ? {} : { token }),
    client: { name: 'nodalmerge', version: VERSION, ext }
  }
}

function capsOf (direct: boolean): SessionCaps {
  return {
    supports_ibf: true,
    supports_mst: false,
    supports_postcard: true,
    supports_encryption: true,
    supports_webrtc: false,
    max_tick_interval_ms: null,
    supports_list_crdt: true,
    supports_direct_blob_io: direct
  }
}
