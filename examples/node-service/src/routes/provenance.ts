import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Query } from 'trust-engine'

import { callerOf, type Guard } from '../auth.js'
import { bodyOf, oneOf, partOf, queryOf, wholeNumber } from '../parameters.js'

const FILTERS = ['agentId', 'decisionType', 'startTime', 'endTime', 'pageSize', 'pageToken'] as const
const DECISIONS = ['ALLOW', 'DENY', 'ESCALATE'] as const
const MAX_PAGE = 100
const MAX_DEPTH = 100

export function provenanceRoutes(app: FastifyInstance, guard: Guard): void {
  app.post('/provenance', { onRequest: guard('provenance:write') }, (request, reply) => {
    reply.code(201)
    return callerOf(request).calls.record(bodyOf(request), request.id)
  })

  app.get('/provenance', { onRequest: guard('provenance:read') }, async (request) =>
    callerOf(request).calls.query(filterOf(request), request.id),
  )

  app.get('/provenance/:id', { onRequest: guard('provenance:read') }, async (request, reply) =>
    immutable(reply, await callerOf(request).calls.get(partOf(request, 'id'), request.id)),
  )

  app.get('/provenance/:id/chain', { onRequest: guard('provenance:read') }, async (request, reply) => {
    const { depth = '10' } = queryOf(request, ['depth'])
    const levels = wholeNumber('depth', depth, MAX_DEPTH)
    return immutable(reply, await callerOf(request).calls.chain(partOf(request, 'id'), levels, request.id))
  })
}

function filterOf(request: FastifyRequest): Query {
  const { agentId, decisionType, startTime, endTime, pageSize, pageToken } = queryOf(request, FILTERS)
  return {
    ...(agentId !== undefined && { agentId }),
    ...(decisionType !== undefined && { decision: oneOf('decisionType', decisionType, DECISIONS) }),
    ...(startTime !== undefined && { startTime }),
    ...(endTime !== undefined && { endTime }),
    ...(pageSize !== undefined && { pageSize: wholeNumber('pageSize', pageSize, MAX_PAGE) }),
    ...(pageToken !== undefined && { pageToken }),
  }
}

/** What is committed never changes, and neither does what it follows from; but it is for this caller only. */
function immutable(reply: FastifyReply, body: string): string {
  reply.headers({ 'cache-control': 'private, immutable, max-age=31536000', vary: 'Authorization, X-API-Key' })
  return body
}
