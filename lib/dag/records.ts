/**
 * What is kept of a node beside its bytes: one fixed-size record of 32-bit words per node, so that reading a node touches one cache
 * line. Records lie in pages; growing adds a page and copies nothing but the first, small one.
 */
export interface Records { readonly pages: Uint32Array[] }

/** The words of a record. */
export const FIELD = {
  /** Number of the chunk, shifted by 8, and the number of parents (255 stands for 255 or more). */
  place: 0,
  /** Where the node starts in its chunk. */
  offset: 1,
  /** Index of the first parent plus one, 0 for a root. */
  firstParent: 2,
  /** Index of the child that came first plus one, 0 while there is none; written once. */
  firstChild: 3,
  /** Number of leaves right after this node came. */
  width: 4
} as const

export type Field = typeof FIELD[keyof typeof FIELD]

const WORDS = 5
const PAGE_BITS = 12
const PAGE_MASK = (1 << PAGE_BITS) - 1
const FIRST_RECORDS = 8

export function createRecords (): Records {
  return { pages: [] }
}

/** Makes room for the record of the node `index`; records are added in order. */
export function addRecord (r: Records, index: number): void {
  const number = index >>> PAGE_BITS
  const needed = ((index & PAGE_MASK) + 1) * WORDS
  if (number === r.pages.length) r.pages.push(new Uint32Array((number === 0 ? FIRST_RECORDS : PAGE_MASK + 1) * WORDS))
  const page = r.pages[number]
  if (page.length >= needed) return
  r.pages[number] = new Uint32Array(page.length * 2)
  r.pages[number].set(page)
}

export function getField (r: Records, index: number, field: Field): number {
  return r.pages[index >>> PAGE_BITS][(index & PAGE_MASK) * WORDS + field]
}

export function setField (r: Records, index: number, field: Field, value: number): void {
  r.pages[index >>> PAGE_BITS][(index & PAGE_MASK) * WORDS + field] = value
}
