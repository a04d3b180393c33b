import { parentPort } from 'node:worker_threads'
import { answerItems } from './batch.js'
import { REMEMBERED_KEYS, createSignatureCheck } from './ed25519.js'
import { fastestKeys } from './native.js'

const check = createSignatureCheck(REMEMBERED_KEYS, fastestKeys())

parentPort?.on('message', (items: Uint8Array<ArrayBuffer>) => {
  answerItems(items, check)
  parentPort?.postMessage(items, [items.buffer])
})
