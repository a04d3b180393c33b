import {
  CELLS, type Filter, type IdHashes, type Width, cellChecksum, cellId, enterId, isZero
} from './ibf.js'

/** A difference read off: ids only in the set the other was subtracted from, and ids only in the other. */
export interface Difference { onlySelf: Uint8Array[], onlyOther: Uint8Array[] }

/** Passes before a filter counts as hostile or too full (spec/wire-format.md §10). */
export const MAX_PASSES = 320

/**
 * The reference decoder: the lowest cell with a count of one or minus one and a matching checksum is peeled, the count telling the
 * side; at most 320 passes, the last of which has to find nothing. Null when the difference cannot be read off. Consumes `diff`.
 */
export function peelByCount (diff: Filter, width: Width, hashes: IdHashes): Difference | null {
  const found: Difference = { onlySelf: [], onlyOther: [] }
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    const cell = diff.counts.findIndex((count, i) => (count === 1 || count === -1) && pureId(diff, i, hashes) !== null)
    if (cell < 0) return isZero(diff) ? found : null
    const id = cellId(diff, cell)
    const self = diff.counts[cell] === 1
    const side = self ? found.onlySelf : found.onlyOther
    side.push(id)
    enterId(diff, hashes.measure(id), width, self ? -1 : 1)
  }
  return null
}

/**
 * The better decoder of a peer that can look ids up (spec/session-protocol.md §1.8): every cell whose checksum matches is peeled, and
 * whether the id is `held` tells the side. An id that enters one cell twice can then no longer lend its neighbour a wrong sign. Only
 * cells that changed are looked at again. Null when the difference cannot be read off. A crafted filter may show an id twice.
 * Consumes `diff`.
 */
export function peelByMembership (diff: Filter, width: Width, hashes: IdHashes, held: (id: Uint8Array) => boolean): Difference | null {
  const found: Difference = { onlySelf: [], onlyOther: [] }
  const ahead = Array.from({ length: CELLS }, (_, cell) => cell)
  let peeled = 0
  for (let cell = ahead.pop(); cell !== undefined; cell = ahead.pop()) {
    const id = pureId(diff, cell, hashes)
    if (id === null) continue
    if (++peeled === MAX_PASSES) return null
    const self = held(id)
    const side = self ? found.onlySelf : found.onlyOther
    side.push(id)
    const measured = hashes.measure(id)
    enterId(diff, measured, width, self ? -1 : 1)
    ahead.push(...measured[width])
  }
  return isZero(diff) ? found : null
}

/** The id of a cell when its checksum says that it is one. */
function pureId (diff: Filter, cell: number, hashes: IdHashes): Uint8Array | null {
  if (diff.counts[cell] === 0 && cellChecksum(diff, cell) === 0) return null
  const id = cellId(diff, cell)
  return hashes.checksum(id) === cellChecksum(diff, cell) ? id : null
}
