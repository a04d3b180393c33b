import { utf8Encode } from './postcard.js'

/** Whether the whole key `bytes[start .. end)` matches. */
export type ByteGlob = (bytes: Uint8Array, start: number, end: number) => boolean

const STAR = 42
const SLASH = 47

/**
 * A pattern as a row of states: state `i + 1` is entered from state `i` by the byte `letters[i]`. A state in `any` or `segment` also
 * stays where it is (`segment` not on a slash); whoever arrives at a state in `skips` is at the next one too. A set of states is then
 * a bit set and one byte of the key a few word operations: no pattern makes matching take longer than
 * length of the key × length of the pattern / 32.
 */
interface Program { letters: number[], any: Set<number>, segment: Set<number>, skips: Set<number>, accepts: Set<number> }

/**
 * The matcher of write policies and path grants (spec/wire-format.md §12.3): `*` is a run without a slash, `**` any run, swallowing
 * one slash directly behind it; all else is literal. Bytewise, the whole key.
 */
export function policyGlobBytes (pattern: string): ByteGlob {
  return compile(policyProgram(utf8Encode(pattern)))
}

/**
 * The matcher of subscriptions (spec/session-protocol.md §2.8): as above, but a trailing slash-star-star also matches what stands
 * before it alone, and a star-star-slash matches nothing or a run that ends in a slash.
 */
export function subscriptionGlobBytes (pattern: string): ByteGlob {
  return compile(subscriptionProgram(utf8Encode(pattern)))
}

/** `policyGlobBytes` over strings. */
export function policyGlob (pattern: string): (key: string) => boolean {
  return overStrings(policyGlobBytes(pattern))
}

/** `subscriptionGlobBytes` over strings. */
export function subscriptionGlob (pattern: string): (key: string) => boolean {
  return overStrings(subscriptionGlobBytes(pattern))
}

function overStrings (matches: ByteGlob): (key: string) => boolean {
  return (key) => {
    const bytes = utf8Encode(key)
    return matches(bytes, 0, bytes.length)
  }
}

function empty (): Program {
  return { letters: [], any: new Set(), segment: new Set(), skips: new Set(), accepts: new Set() }
}

function policyProgram (pattern: Uint8Array): Program {
  const program = empty()
  const { letters } = program
  for (let i = 0; i < pattern.length; i++) {
    if (pattern[i] !== STAR) {
      letters.push(pattern[i])
    } else if (pattern[i + 1] !== STAR) {
      program.segment.add(letters.length)
    } else {
      program.any.add(letters.length)
      i += pattern[i + 2] === SLASH ? 2 : 1
    }
  }
  program.accepts.add(letters.length)
  return program
}

function subscriptionProgram (pattern: Uint8Array): Program {
  const program = empty()
  const { letters, any } = program
  for (let i = 0; i < pattern.length; i++) {
    const stars = pattern[i] === STAR && pattern[i + 1] === STAR
    if (stars && pattern[i + 2] === SLASH) {
      optionalFolders(program)
      i += 2
    } else if (stars) {
      any.add(letters.length)
      i++
    } else if (pattern[i] === STAR) {
      program.segment.add(letters.length)
    } else {
      if (i === pattern.length - 3 && pattern[i] === SLASH && pattern[i + 1] === STAR && pattern[i + 2] === STAR) {
        program.accepts.add(letters.length)
      }
      letters.push(pattern[i])
    }
  }
  program.accepts.add(letters.length)
  return program
}

/** Nothing, or any run that ends in a slash. Behind any run, or behind another of its kind, it adds nothing. */
function optionalFolders ({ letters, any, skips }: Program): void {
  if (any.has(letters.length) || skips.has(letters.length - 1)) return
  skips.add(letters.length)
  any.add(letters.length)
  letters.push(SLASH)
}

/** For every byte the states it may enter, one row of `words` numbers for each different byte of the pattern; row 0 is "none". */
interface Table { words: number, rowOf: Uint8Array, rows: Uint32Array }

function tabulate (letters: readonly number[]): Table {
  const words = (letters.length >> 5) + 1
  const rowOf = new Uint8Array(256)
  const distinct = [...new Set(letters)]
  const rows = new Uint32Array(words * (distinct.length + 1))
  distinct.forEach((byte, i) => { rowOf[byte] = i + 1 })
  letters.forEach((byte, i) => { rows[rowOf[byte] * words + ((i + 1) >> 5)] |= 1 << ((i + 1) & 31) })
  return { words, rowOf, rows }
}

function bits (states: Iterable<number>, words: number): Uint32Array {
  const set = new Uint32Array(words)
  for (const state of states) set[state >> 5] |= 1 << (state & 31)
  return set
}

function compile (program: Program): ByteGlob {
  const table = tabulate(program.letters)
  return table.words === 1 ? narrow(program, table) : wide(program, table)
}

/** Up to 31 literal bytes, which is nearly every pattern: the states fit one number. */
function narrow (program: Program, { rowOf, rows }: Table): ByteGlob {
  const [any] = bits(program.any, 1)
  const [run] = bits([...program.any, ...program.segment], 1)
  const [skips] = bits(program.skips, 1)
  const [accepts] = bits(program.accepts, 1)
  const settled = accepts & any
  const first = 1 | (skips & 1) << 1
  return (bytes, start, end) => {
    let live = first
    for (let i = start; i < end && live !== 0; i++) {
      if ((live & settled) !== 0) return true
      const byte = bytes[i]
      const arrived = live << 1 & rows[rowOf[byte]]
      live = arrived | (arrived & skips) << 1 | live & (byte === SLASH ? any : run)
    }
    return (live & accepts) !== 0
  }
}

function wide (program: Program, { words, rowOf, rows }: Table): ByteGlob {
  const any = bits(program.any, words)
  const run = bits([...program.any, ...program.segment], words)
  const skips = bits(program.skips, words)
  const accepts = bits(program.accepts, words)
  const live = new Uint32Array(words)

  function step (byte: number): number {
    const stay = byte === SLASH ? any : run
    const row = rowOf[byte] * words
    let moved = 0
    let skipped = 0
    let left = 0
    for (let w = 0; w < words; w++) {
      const arrived = (live[w] << 1 | moved) & rows[row + w]
      const passed = arrived & skips[w]
      moved = live[w] >>> 31
      live[w] = arrived | passed << 1 | skipped | live[w] & stay[w]
      skipped = passed >>> 31
      left |= live[w]
    }
    return left
  }

  return (bytes, start, end) => {
    live.fill(0)
    live[0] = 1 | (skips[0] & 1) << 1
    for (let i = start; i < end; i++) if (step(bytes[i]) === 0) return false
    return live.some((states, w) => (states & accepts[w]) !== 0)
  }
}
