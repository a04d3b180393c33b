// A shared editor: `npm start`, then open the address in two windows.
import Fastify from 'fastify'
import nodalmerge from 'nodalmerge'
import { bundlePage } from './bundle.js'

const { PORT = '3000', HOST = '127.0.0.1', DATA = './data' } = process.env
const app = Fastify({ logger: { level: 'warn' }, forceCloseConnections: true })
await app.register(nodalmerge, { data: DATA })

const { files, page } = await bundlePage()
for (const [path, { type, body, forever }] of files) {
  app.get(path, (request, reply) => reply.type(type).header('cache-control', forever ? 'public, max-age=31536000, immutable' : 'no-cache').send(body))
}
for (const path of ['/', '/r/:room']) {
  app.get(path, (request, reply) => {
    const { body, policy } = page()
    return reply.type('text/html').headers({ 'content-security-policy': policy, 'cache-control': 'no-cache', 'referrer-policy': 'no-referrer', 'x-content-type-options': 'nosniff' }).send(body)
  })
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => app.close())
console.log(`The editor is at ${await app.listen({ port: Number(PORT), host: HOST })}`)
