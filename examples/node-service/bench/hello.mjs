// What Fastify itself can do on this machine: parse a body, answer a constant.
import fastify from 'fastify'

const app = fastify()
app.post('/hello', () => ({ hello: 'world' }))
app.get('/health/ready', () => ({ status: 'healthy' }))
process.once('SIGTERM', () => app.close())
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
