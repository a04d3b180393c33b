import Fastify from 'fastify'
import nodalmerge, { createSigner } from '../../lib/index.js'

/**
 * A backend with the plugin on the data folder that is its first argument (empty: in memory). The second is JSON: further options,
 * `killAfterMs` (kills itself so many milliseconds after it began to start) and `confirm` (locks that room and says so). Prints its
 * URL, ends by itself on SIGTERM, and prints its memory after a collection on SIGUSR2.
 */
const [data, more = '{}'] = process.argv.slice(2)
const { killAfterMs, confirm, limits, ...options } = JSON.parse(more)
if (killAfterMs !== undefined) setTimeout(() => process.kill(process.pid, 'SIGKILL'), killAfterMs)

const app = Fastify()
await app.register(nodalmerge, {
  ...(data === '' ? {} : { data }),
  readScope: 'global',
  ...options,
  limits: { nodesPerSecond: 0, bytesPerSecond: 0, messagesPerSecond: 0, readsPerSecond: 0, blobBytesPerSecond: 0, ...limits }
})
const url = await app.listen({ port: 0, host: '127.0.0.1' })
console.log(JSON.stringify({ url: url.replace('http', 'ws'), key: Buffer.from(app.nodalmerge.publicKey).toString('hex') }))

process.once('SIGTERM', async () => {
  await app.close()
  await app.close()
})
process.on('SIGUSR2', () => {
  global.gc?.()
  console.log(JSON.stringify(process.memoryUsage()))
})
if (confirm !== undefined) {
  await app.nodalmerge.room(confirm).lock(createSigner(new Uint8Array(32).fill(9)).publicKey)
  console.log('confirmed')
}
