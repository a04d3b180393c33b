import { z } from 'zod'
import { NodalmergeError } from '../errors.js'
import { utf8Encode } from '../protocol/postcard.js'
import type { Level, LevelPut } from './level-database.js'
import { FORMAT_KEY } from './level-keys.js'

const FORMAT = { name: 'nodalmerge nodes', version: 1 }
const format = z.object({ name: z.literal(FORMAT.name), version: z.int().positive() })

/** The record that says what this database is. Writing it again changes nothing. */
export const FORMAT_RECORD: LevelPut = { type: 'put', key: FORMAT_KEY, value: utf8Encode(JSON.stringify(FORMAT)) }

/**
 * Throws `store.format_newer` or `store.format_foreign` for a database that is not ours to use. Answers whether it is still without
 * a format, which only an empty one may be.
 */
export async function isBlank (db: Level): Promise<boolean> {
  const stored = await db.get(FORMAT_KEY)
  if (stored === undefined) {
    if ((await db.keys({ limit: 1 }).all()).length > 0) throw foreign()
    return true
  }
  const { version } = readFormat(stored)
  if (version <= FORMAT.version) return false
  const text = `the nodes were written in format ${version}; this version reads formats up to ${FORMAT.version}`
  throw new NodalmergeError('store.format_newer', text)
}

function readFormat (bytes: Uint8Array): z.infer<typeof format> {
  try {
    return format.parse(JSON.parse(new TextDecoder().decode(bytes)))
  } catch (cause) {
    throw foreign(cause)
  }
}

function foreign (cause?: unknown): NodalmergeError {
  return new NodalmergeError('store.format_foreign', 'the database was not written by this store', { cause })
}
