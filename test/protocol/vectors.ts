import { readFileSync } from 'node:fs'

const load = (name: string) => JSON.parse(readFileSync(new URL(`../vectors/vectors-${name}.json`, import.meta.url), 'utf8'))

/** The published vectors; their shape is described in the files themselves. */
export const published = load('public')
export const controlPlane = load('control-plane')
export const storage = load('storage')

export const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))
export const utf8 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'utf8'))
export const seedOf = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)
