import Fastify from 'fastify'
import nodalmerge from '../../lib/index.js'

/**
 * A backend with the plugin on the data folder that is its first argument; the second are further options as JSON. Prints its URL,
 * ends by itself on SIGTERM, and prints its memory after a collection on SIGUSR2.
 */
const [data, more = '{}'] = process.argv.slice(2)
const app = Fastify()
await app.register(nodalmerge, {
  data,
  readScope: 'global',
  ...JSON.parse(more),
  limits: { nodesPerSecond: 0, bytesPerSecond: 0, messagesPerSecond: 0, readsPerSecond: 0, blobBytesPerSecond: 0, ...JSON.parse(more).limits }
})
const url = await app.listen({ port: 0, host: '127.0.0.1' })
console.log(JSON.stringify({ url: url.replace('http', 'ws'), key: Buffer.from(app.nodalmerge.publicKey).toString('hex') }))

process.once('SIGTERM', () => { void app.close().then(() => app.close()) })
process.on('SIGUSR2', () => {
  global.gc?.()
  console.log(JSON.stringify(process.memoryUsage()))
})
