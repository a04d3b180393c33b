import Fastify from 'fastify'
import nodalmerge from 'nodalmerge'

const app = Fastify({ logger: true })
await app.register(nodalmerge, { data: process.env.DATA ?? './data' })
app.get('/rooms/:id/title', async (request) => {
  const room = app.nodalmerge.room(request.params.id)
  const state = await room.state()
  return { title: state.text('title').toString() }
})
await app.listen({ port: Number(process.env.PORT ?? 3000) })
