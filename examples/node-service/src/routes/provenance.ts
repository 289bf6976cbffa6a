import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { JsonCalls, Query } from 'trust-engine'

import { callerOf, type Guard } from '../auth.js'
import { RequestError } from '../errors.js'
import { bodyOf, oneOf, partOf, queryOf, traceOf, wholeNumber } from '../parameters.js'

const INTERNAL = 'includeInternal'
const FILTERS = ['agentId', 'decisionType', 'startTime', 'endTime', 'pageSize', 'pageToken', INTERNAL] as const
const TYPES = ['ROLE_GATE', 'CEILING', 'ESCALATION', 'ALERT'] as const
const INTERNAL_TYPES = ['AGENT', 'POLICY', 'SIGNAL', 'ERASURE', 'GAP', 'STATE'] as const
const DECISIONS = ['ALLOW', 'DENY', 'ESCALATE'] as const
const KINDS = [...TYPES, ...INTERNAL_TYPES, ...DECISIONS]
const MAX_PAGE = 100
const MAX_DEPTH = 100

export function provenanceRoutes(app: FastifyInstance, guard: Guard): void {
  app.post('/provenance', { onRequest: guard('provenance:write') }, (request, reply) => {
    reply.code(201)
    return callerOf(request).calls.record(bodyOf(request), request.id, traceOf(request))
  })

  app.get('/provenance', { onRequest: guard('provenance:read') }, async (request) => {
    const parameters = queryOf(request, FILTERS)
    return callsFor(request, parameters[INTERNAL]).query(filterOf(parameters), request.id)
  })

  app.get('/provenance/:id', { onRequest: guard('provenance:read') }, async (request, reply) => {
    const calls = callsFor(request, queryOf(request, [INTERNAL])[INTERNAL])
    return immutable(reply, await calls.get(partOf(request, 'id'), request.id))
  })

  app.get('/provenance/:id/chain', { onRequest: guard('provenance:read') }, async (request, reply) => {
    const { depth = '10' } = queryOf(request, ['depth'])
    const levels = wholeNumber('depth', depth, MAX_DEPTH)
    return immutable(reply, await callerOf(request).calls.chain(partOf(request, 'id'), levels, request.id))
  })
}

/** Records of internal types are for auditors of the whole fleet, when they ask for them. */
function callsFor(request: FastifyRequest, includeInternal: string | undefined): JsonCalls {
  const { calls, audit } = callerOf(request)
  if (includeInternal === undefined || oneOf(INTERNAL, includeInternal, ['true', 'false']) === 'false') return calls
  if (!audit) throw new RequestError('P6_FORBIDDEN', 'the API key lacks the permission fleet', { permission: 'fleet' })
  return audit
}

function filterOf(parameters: Partial<Record<(typeof FILTERS)[number], string>>): Query {
  const { agentId, decisionType, startTime, endTime, pageSize, pageToken } = parameters
  return {
    ...(agentId !== undefined && { agentId }),
    ...(decisionType !== undefined && kindOf(decisionType)),
    ...(startTime !== undefined && { startTime }),
    ...(endTime !== undefined && { endTime }),
    ...(pageSize !== undefined && { pageSize: wholeNumber('pageSize', pageSize, MAX_PAGE) }),
    ...(pageToken !== undefined && { pageToken }),
  }
}

/** The contract's `decisionType` is a word for a record's type; a decision is told apart by its own words. */
function kindOf(decisionType: string): Pick<Query, 'type' | 'decision'> {
  const kind = oneOf('decisionType', decisionType, KINDS)
  const decision = DECISIONS.find((decision) => decision === kind)
  return decision ? { decision } : { type: kind as Exclude<typeof kind, (typeof DECISIONS)[number]> }
}

/** A committed record never changes, and neither do its ancestors; but the answer is for this caller only. */
function immutable(reply: FastifyReply, body: string): string {
  reply.headers({ 'cache-control': 'private, immutable, max-age=31536000', vary: 'Authorization, X-API-Key' })
  return body
}
