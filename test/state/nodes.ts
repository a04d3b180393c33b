import fc from 'fast-check'
import { createSigner } from '../../lib/crypto/ed25519.js'
import { nobleBlake3 } from '../../lib/protocol/blake3.js'
import { type NodeView, type Transaction, encodeNode, encodeTransaction, scanNode } from '../../lib/protocol/node.js'
import type { Op } from '../../lib/protocol/op.js'
import { cursor, utf8Encode } from '../../lib/protocol/postcard.js'
import type { AppliedNode } from '../../lib/state/document.js'

export const signerOf = (byte: number) => createSigner(new Uint8Array(32).fill(byte))

export const set = (key: string, value: string): Op => ({ type: 'map-set', key, value: utf8Encode(value) })

/** A signed node of the author whose seed is one repeated byte. */
export function signed (seed: number, tx: Omit<Transaction, 'author' | 'wallMs'>): NodeView {
  const signer = signerOf(seed)
  const bytes = encodeTransaction({ ...tx, author: signer.publicKey, wallMs: 0 })
  const id = nobleBlake3.hash(bytes)
  return scanNode(cursor(encodeNode(id, bytes, signer.sign(id))))
}

export const bytes = (byte: number, length = 32): Uint8Array => new Uint8Array(length).fill(byte)

/** A node with made-up id and author: one byte, repeated. */
export const written = (id: number, author: number, lamport: number, ...ops: Op[]): AppliedNode => ({ id: bytes(id), author: bytes(author), lamport, ops })

/** The same values in another order, chosen by the property's own randomness. */
export const shuffled = <T>(values: readonly T[]): fc.Arbitrary<T[]> => fc.shuffledSubarray([...values], { minLength: values.length })
