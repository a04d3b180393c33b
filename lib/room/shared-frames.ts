/** A full catch-up frame: the nodes from its start up to `to`. */
export interface FullFrame { to: number, bytes: Uint8Array }

/**
 * Full frames of a room's history by the node they start with, made for one joiner and kept for those who join at about the same time:
 * what they ask for is the same, because history only grows. A handful is enough, since joiners who began together move together.
 */
export interface SharedFrames {
  get (from: number): FullFrame | undefined
  put (from: number, frame: FullFrame): void
  /** To be called now and then: lets go of the frames once nobody has asked for one since the last call. */
  sweep (): void
}

/** With frames of one MiB, 16 MiB for each room that is being joined. */
const KEPT = 16

export function createSharedFrames (): SharedFrames {
  const frames = new Map<number, FullFrame>()
  let used = false
  return {
    get (from) {
      const frame = frames.get(from)
      used ||= frame !== undefined
      return frame
    },
    put (from, frame) {
      used = true
      const [oldest] = frames.keys()
      if (frames.size === KEPT) frames.delete(oldest)
      frames.set(from, frame)
    },
    sweep () {
      if (!used) frames.clear()
      used = false
    }
  }
}
