import { z } from 'zod'
import { NodalmergeError } from '../errors.js'

const storedPolicy = z.strictObject({
  rules: z.array(z.strictObject({
    pathGlob: z.string(),
    canWrite: z.array(z.string()),
    canRead: z.array(z.string()),
    canDerive: z.array(z.string())
  })),
  default: z.enum(['allow', 'deny'])
})

const roomState = z.strictObject({
  /** Ed25519 room key in lower-case hexadecimal; null for an open room. */
  key: z.string().regex(/^[0-9a-f]{64}$/).nullable(),
  /** The policy timeline; the last entry is in force. */
  timeline: z.array(z.strictObject({ effectiveLamport: z.int().nonnegative(), policy: storedPolicy }))
})

/** Room control state: the lock and the write policy with its timeline (spec/session-protocol.md §5.1, §5.2). */
export type RoomState = z.infer<typeof roomState>
export type StoredPolicy = z.infer<typeof storedPolicy>

/** Control state as the JSON text a store keeps. Throws TypeError for anything that could not be read back. */
export function encodeState (state: RoomState): string {
  const checked = roomState.safeParse(state)
  if (!checked.success) throw new TypeError(`not the control state of a room: ${z.prettifyError(checked.error)}`)
  return JSON.stringify(checked.data)
}

/**
 * The control state a store kept. One that cannot be read throws `store.failed`: taking it for "none" would unlock the room.
 */
export function decodeState (room: string, text: string): RoomState {
  try {
    return roomState.parse(JSON.parse(text))
  } catch (cause) {
    throw new NodalmergeError('store.failed', `the control state of room ${JSON.stringify(room)} cannot be read`, { cause })
  }
}
