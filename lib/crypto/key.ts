import { link, mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { NodalmergeError } from '../errors.js'
import { toHex } from '../protocol/hex.js'
import { SEED_LENGTH, generateSeed } from './ed25519.js'

/** Name of the key file below the data folder: the 32 raw bytes of the server's Ed25519 seed (spec/storage-and-operations.md §8). */
export const KEY_FILE = 'server.key'

/**
 * The server's seed, from `server.key` below `folder`. Where there is none, one is made, readable by its owner only. A file that is
 * there and cannot be used throws `plugin.key_invalid`: replacing it would silently change the server's identity.
 */
export async function loadSeed (folder: string): Promise<Uint8Array> {
  const path = join(folder, KEY_FILE)
  try {
    return await readSeed(path) ?? await makeSeed(folder, path)
  } catch (cause) {
    if (cause instanceof NodalmergeError) throw cause
    throw new NodalmergeError('plugin.key_invalid', `the server key file ${path} cannot be read or made`, { cause })
  }
}

async function readSeed (path: string): Promise<Uint8Array | null> {
  const bytes = await readFile(path).catch(absent)
  if (bytes === null) return null
  if (bytes.length === SEED_LENGTH) return new Uint8Array(bytes)
  throw new NodalmergeError('plugin.key_invalid', `the server key file ${path} has ${bytes.length} bytes instead of ${SEED_LENGTH}`)
}

/**
 * Writes the key beside its place and links it there, which fails when another process was faster: whoever finds the file finds all
 * of it, and everybody the same.
 */
async function makeSeed (folder: string, path: string): Promise<Uint8Array> {
  await mkdir(folder, { recursive: true })
  const draft = `${path}.${toHex(generateSeed().subarray(0, 8))}`
  try {
    await writeDurably(draft, generateSeed())
    await link(draft, path).catch(taken)
    await syncFolder(folder)
  } finally {
    await rm(draft, { force: true })
  }
  const seed = await readSeed(path)
  if (seed === null) throw new Error('the key file vanished')
  return seed
}

async function writeDurably (path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function syncFolder (path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

function absent (error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null
  throw error
}

function taken (error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error
}
