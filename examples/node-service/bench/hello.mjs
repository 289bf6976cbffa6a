// A server that shows what Fastify itself can do on this machine: it parses a body and answers a constant.
import fastify from 'fastify'

const app = fastify()
app.post('/hello', () => ({ hello: 'world' }))
app.get('/health/ready', () => ({ status: 'healthy' }))
process.once('SIGTERM', () => app.close())
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
