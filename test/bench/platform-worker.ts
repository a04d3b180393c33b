import { parentPort } from 'node:worker_threads'
import { answerItems } from '../../lib/crypto/batch.js'
import { createSignatureCheck } from '../../lib/crypto/ed25519.js'

/** The verifier's worker without libsodium: the rate that ingest is held against. */
const check = createSignatureCheck()

parentPort?.on('message', (items: Uint8Array<ArrayBuffer>) => {
  answerItems(items, check)
  parentPort?.postMessage(items, [items.buffer])
})
