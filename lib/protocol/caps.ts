import * as z from 'zod'

/** A JSON number that is an unsigned integer; above 2^53 it has been rounded by the JSON reader. */
export const u64 = z.number().refine((n) => Number.isInteger(n) && n >= 0)

/**
 * What a session can do, offered by the client and answered by the server (spec/session-protocol.md §1.6). An absent field means its
 * default, not `false`.
 */
export const sessionCaps = z.object({
  supports_ibf: z.boolean().default(true),
  supports_mst: z.boolean().default(true),
  supports_postcard: z.boolean().default(true),
  supports_encryption: z.boolean().default(true),
  supports_webrtc: z.boolean().default(false),
  max_tick_interval_ms: u64.nullable().default(null),
  supports_list_crdt: z.boolean().default(true),
  supports_direct_blob_io: z.boolean().default(true)
})

export type SessionCaps = z.output<typeof sessionCaps>

export const DEFAULT_CAPS: Readonly<SessionCaps> = Object.freeze(sessionCaps.parse({}))

/** Reads an offer. Anything but an object, or one field of the wrong type, makes the whole offer the defaults. */
export function readCaps (offer: unknown): SessionCaps {
  const read = sessionCaps.safeParse(offer)
  return read.success ? read.data : { ...DEFAULT_CAPS }
}

/** What both sides can: the conjunction of each ability; the larger tick interval when both name one, else none. */
export function negotiateCaps (a: SessionCaps, b: SessionCaps): SessionCaps {
  return {
    supports_ibf: a.supports_ibf && b.supports_ibf,
    supports_mst: a.supports_mst && b.supports_mst,
    supports_postcard: a.supports_postcard && b.supports_postcard,
    supports_encryption: a.supports_encryption && b.supports_encryption,
    supports_webrtc: a.supports_webrtc && b.supports_webrtc,
    max_tick_interval_ms: a.max_tick_interval_ms === null || b.max_tick_interval_ms === null
      ? null
      : Math.max(a.max_tick_interval_ms, b.max_tick_interval_ms),
    supports_list_crdt: a.supports_list_crdt && b.supports_list_crdt,
    supports_direct_blob_io: a.supports_direct_blob_io && b.supports_direct_blob_io
  }
}
