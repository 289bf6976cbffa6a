import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { JsonCalls, Query, TrustEngine } from 'trust-engine'

import { callerOf, type Guard } from '../auth.js'
import { RequestError } from '../errors.js'
import { bodyOf, oneOf, partOf, queryOf, traceOf, wholeNumber } from '../parameters.js'

const INTERNAL = 'includeInternal'
const FILTERS = ['agentId', 'decisionType', 'decision', 'startTime', 'endTime', 'pageSize', 'pageToken', INTERNAL] as const
const ORGANIZATION = 'organizationId'
const TYPES = ['ROLE_GATE', 'CEILING', 'ESCALATION', 'ALERT'] as const
const INTERNAL_TYPES = ['AGENT', 'POLICY', 'SIGNAL', 'ERASURE', 'GAP', 'STATE'] as const
const DECISIONS = ['ALLOW', 'DENY', 'ESCALATE'] as const
const KINDS = [...TYPES, ...INTERNAL_TYPES, ...DECISIONS]
const MAX_PAGE = 100
const MAX_DEPTH = 100

export function provenanceRoutes(app: FastifyInstance, guard: Guard, engine: TrustEngine): void {
  app.post('/provenance', { onRequest: guard('provenance:write') }, (request, reply) => {
    reply.code(201)
    return callerOf(request).calls.record(bodyOf(request), request.id, traceOf(request))
  })

  app.get('/provenance', { onRequest: guard('provenance:read') }, async (request) => {
    const parameters = queryOf(request, FILTERS)
    return callsFor(request, parameters[INTERNAL]).query(filterOf(parameters), request.id)
  })

  app.get('/provenance/:id', { onRequest: guard('provenance:read') }, async (request, reply) => {
    const parameters = queryOf(request, [INTERNAL, ORGANIZATION])
    const calls = within(engine, request, callsFor(request, parameters[INTERNAL]), parameters)
    return immutable(reply, await calls.get(partOf(request, 'id'), request.id))
  })

  app.get('/provenance/:id/chain', { onRequest: guard('provenance:read') }, async (request, reply) => {
    const parameters = queryOf(request, ['depth', ORGANIZATION])
    const levels = wholeNumber('depth', parameters.depth ?? '10', MAX_DEPTH)
    const calls = within(engine, request, callerOf(request).calls, parameters)
    return immutable(reply, await calls.chain(partOf(request, 'id'), levels, request.id))
  })
}

/** Records of internal types are for auditors of the whole fleet, when they ask for them. */
function callsFor(request: FastifyRequest, includeInternal: string | undefined): JsonCalls {
  const { calls, audit } = callerOf(request)
  if (includeInternal === undefined || oneOf(INTERNAL, includeInternal, ['true', 'false']) === 'false') return calls
  if (!audit) throw new RequestError('P6_FORBIDDEN', 'the API key lacks the permission fleet', { permission: 'fleet' })
  return audit
}

/**
 * The calls of a key of the whole fleet for one organization, if it names one: an id is unique within its organization, and
 * several may have the same.
 */
function within(
  engine: TrustEngine, request: FastifyRequest, calls: JsonCalls, parameters: { organizationId?: string; includeInternal?: string },
): JsonCalls {
  const { organizationId, includeInternal } = parameters
  if (organizationId === undefined) return calls
  const { name, organization, fleet } = callerOf(request)
  if (!fleet && organizationId !== organization) {
    throw new RequestError('P6_FORBIDDEN', 'the API key is of another organization', { field: ORGANIZATION })
  }
  return engine.json({ name, organization: organizationId, internal: includeInternal === 'true' })
}

function filterOf(parameters: Partial<Record<(typeof FILTERS)[number], string>>): Query {
  const { agentId, decisionType, decision, startTime, endTime, pageSize, pageToken } = parameters
  return {
    ...(agentId !== undefined && { agentId }),
    ...(decisionType !== undefined && kindOf(decisionType)),
    ...(decision !== undefined && { decision }),
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
