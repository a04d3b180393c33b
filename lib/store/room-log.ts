/** The nodes of one room in memory, packed: about four bytes a node besides its own. */
export interface RoomLog {
  /** Number of nodes, which is the seq of the last one. */
  readonly length: number
  /** Copies a node to the end. */
  push (node: Uint8Array): void
  /** Views of the nodes with a seq above `after`, as many as fit in about `maxBytes` and at least one if there is one. */
  slice (after: number, maxBytes: number): Uint8Array[]
}

/** A buffer of whole nodes; `first` is the position of its first one. */
interface Page { bytes: Uint8Array, used: number, first: number }

/** Small rooms stay small: a page starts with this and doubles. */
const FIRST_PAGE = 2048
/** Pages end here, so that a long room grows without copying what it has. */
const LAST_PAGE = 1024 * 1024

export function roomLog (): RoomLog {
  const pages: Page[] = []
  let ends = new Uint32Array(8)
  let length = 0

  const pageFor = (size: number): Page => {
    const page = pages.at(-1)
    if (page !== undefined && page.used + size <= page.bytes.length) return page
    if (page !== undefined && page.used + size <= LAST_PAGE) return grow(page, page.used + size)
    const fresh = { bytes: new Uint8Array(Math.max(page === undefined ? FIRST_PAGE : LAST_PAGE, size)), used: 0, first: length }
    pages.push(fresh)
    return fresh
  }

  return {
    get length () { return length },
    push (node) {
      const page = pageFor(node.length)
      page.bytes.set(node, page.used)
      page.used += node.length
      if (length === ends.length) ends = doubled(ends)
      ends[length++] = page.used
    },
    slice (after, maxBytes) {
      const nodes: Uint8Array[] = []
      let at = pageOf(pages, after)
      for (let i = after, size = 0; i < length; i++) {
        if (at + 1 < pages.length && pages[at + 1].first === i) at++
        const start = i === pages[at].first ? 0 : ends[i - 1]
        size += ends[i] - start
        if (size > maxBytes && nodes.length > 0) break
        nodes.push(pages[at].bytes.subarray(start, ends[i]))
      }
      return nodes
    }
  }
}

function grow (page: Page, size: number): Page {
  const bytes = new Uint8Array(Math.min(LAST_PAGE, Math.max(size, 2 * page.bytes.length)))
  bytes.set(page.bytes.subarray(0, page.used))
  page.bytes = bytes
  return page
}

function doubled (ends: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const longer = new Uint32Array(2 * ends.length)
  longer.set(ends)
  return longer
}

/** The page that holds a position: the last one which does not start after it. */
function pageOf (pages: readonly Page[], position: number): number {
  let low = 0
  let high = pages.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (pages[middle].first <= position) low = middle
    else high = middle - 1
  }
  return low
}
