import type { FastifyInstance } from 'fastify'

import { callerOf, type Guard } from '../auth.js'
import { parametersOf } from '../parameters.js'
import { TtlCache } from '../ttl-cache.js'

const MAX_CACHED = 1000

export function statsRoutes(app: FastifyInstance, guard: Guard, cache: TtlCache<string>): void {
  app.get('/stats', { onRequest: guard('stats:read') }, async (request, reply) => {
    const { calls, organization, fleet } = callerOf(request)
    const parameters = { timeRange: '24h', ...parametersOf(request) }
    // The whole question, so that none is answered that the engine would refuse. The load names no request: several may share it.
    const question = JSON.stringify([fleet, organization, parameters])
    const { value, hit } = await cache.get(question, async () => (await calls.call('stats.get', parameters)).body)
    reply.header('x-cache', hit ? 'HIT' : 'MISS')
    return value
  })
}

export function statsCache(ttlSeconds: number): TtlCache<string> {
  return new TtlCache(ttlSeconds * 1000, MAX_CACHED)
}
