import { parentPort } from 'node:worker_threads'
import { answerItems } from './batch.js'
import { createSignatureCheck } from './ed25519.js'

const check = createSignatureCheck()

parentPort?.on('message', (items: Uint8Array<ArrayBuffer>) => {
  answerItems(items, check)
  parentPort?.postMessage(items, [items.buffer])
})
