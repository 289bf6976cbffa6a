import type { FastifyInstance } from 'fastify'
import type { Stats, TrustEngine } from 'trust-engine'

import { callerOf, type Guard, type Principal } from '../auth.js'
import { RequestError } from '../errors.js'
import { oneOf, queryOf } from '../parameters.js'
import { TtlCache } from '../ttl-cache.js'

const RANGES = ['1h', '6h', '24h', '7d', '30d'] as const
type Range = (typeof RANGES)[number]

const MAX_CACHED = 1000

export function statsRoutes(app: FastifyInstance, guard: Guard, engine: TrustEngine, cache: TtlCache<string>): void {
  app.get('/stats', { onRequest: guard('stats:read') }, async (request, reply) => {
    const { timeRange = '24h', organizationId } = queryOf(request, ['timeRange', 'organizationId'])
    const range = oneOf('timeRange', timeRange, RANGES)
    const organization = scopeOf(callerOf(request), organizationId)
    // JSON, so that no organization is called what all of them are. The load names no request: several may share it.
    const { value, hit } = await cache.get(JSON.stringify([range, organization ?? null]), () => load(engine, range, organization))
    reply.header('x-cache', hit ? 'HIT' : 'MISS')
    return value
  })
}

export function statsCache(ttlSeconds: number): TtlCache<string> {
  return new TtlCache(ttlSeconds * 1000, MAX_CACHED)
}

async function load(engine: TrustEngine, range: Range, organization: string | undefined): Promise<string> {
  if (organization === undefined) return engine.json({ fleetWide: true }).stats(range)
  const stats = JSON.parse(await engine.json({ organization }).stats(range)) as Stats
  // The rest of it is what the engine does for all organizations together.
  const { totalRecords, byType } = stats.provenance
  return JSON.stringify({ ...stats, provenance: { totalRecords, byType } })
}

/** The organization whose numbers are asked for; `undefined` is all of them. */
function scopeOf({ organization, fleet }: Principal, wanted: string | undefined): string | undefined {
  if (fleet) return wanted
  if (wanted === undefined || wanted === organization) return organization
  throw new RequestError('P6_FORBIDDEN', 'the API key is of another organization', { field: 'organizationId' })
}
