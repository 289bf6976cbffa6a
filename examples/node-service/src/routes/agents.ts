import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Agent, type AgentQuery, type Agents, InvalidInputError, NotFoundError, type TrustEngine } from 'trust-engine'

import { type AgentBody, parseAgentBody } from '../agent-body.js'
import { callerOf, type Guard } from '../auth.js'
import { invalid, RequestError, shown } from '../errors.js'
import { bodyOf, oneOf, partOf, queryOf, wholeNumber } from '../parameters.js'

const FILTERS = ['tier', 'status', 'family', 'pageSize', 'pageToken', 'total'] as const
const STATUSES = ['ACTIVE', 'SUSPENDED', 'REVOKED'] as const
const MAX_PAGE = 100

export function agentRoutes(app: FastifyInstance, guard: Guard, engine: TrustEngine): void {
  app.get('/agents', { onRequest: guard('agents:read') }, async (request) => {
    const agents = engine.agents(callerOf(request).organization)
    const parameters = queryOf(request, FILTERS)
    const query = filterOf(parameters)
    const [page, total] = await Promise.all([
      agents.page(query),
      oneOf('total', parameters.total ?? 'false', ['true', 'false']) === 'true' ? count(agents, query) : undefined,
    ])
    return { ...page, ...(total !== undefined && { total }) }
  })

  app.get('/agents/:agentId', { onRequest: guard('agents:read') }, async (request, reply) => {
    const agent = await engine.agents(callerOf(request).organization).get(partOf(request, 'agentId'))
    return tagged(reply, agent)
  })

  app.put('/agents/:agentId', { onRequest: guard('agents:write') }, async (request, reply) => {
    const { name, organization } = callerOf(request)
    const agents = engine.agents(organization)
    const id = partOf(request, 'agentId')
    const body = parseAgentBody(bodyOf(request))
    const version = versionOf(request, body)

    const known = await find(agents, id)
    if (known) return tagged(reply, await change(agents, known, body, version, name))
    if (version !== undefined) throw new RequestError('P6_CONFLICT', `agent ${shown(id)} is not registered`)
    reply.code(201)
    return tagged(reply, await register(agents, id, body, name))
  })
}

/** The number of agents; `undefined` where counting them would take too long. */
async function count(agents: Agents, query: AgentQuery): Promise<number | undefined> {
  try {
    return await agents.count(query)
  } catch (error) {
    if (error instanceof InvalidInputError && error.details['field'] === 'tags') return undefined
    throw error
  }
}

function filterOf({ tier, status, family, pageSize, pageToken }: Partial<Record<(typeof FILTERS)[number], string>>): AgentQuery {
  return {
    ...(tier !== undefined && { tier }),
    ...(status !== undefined && { status: oneOf('status', status, STATUSES) }),
    ...(family !== undefined && { family }),
    ...(pageSize !== undefined && { pageSize: wholeNumber('pageSize', pageSize, MAX_PAGE) }),
    ...(pageToken !== undefined && { pageToken }),
  }
}

async function find(agents: Agents, id: string): Promise<Agent | undefined> {
  try {
    return await agents.get(id)
  } catch (error) {
    if (error instanceof NotFoundError) return undefined
    throw error
  }
}

/** Registers an agent; the key is recorded as the one that registered it, and nothing that a body says. */
function register(agents: Agents, id: string, body: AgentBody, caller: string): Promise<Agent> {
  return agents.register({ ...body, registeredBy: caller, id })
}

function change(agents: Agents, known: Agent, body: AgentBody, version: AnyVersion, caller: string): Promise<Agent> {
  const { creation, parent, version: _, ...changes } = body
  for (const [field, given, fixed] of [
    ['creation', creation, known.creation],
    ['parent', parent, known.parent],
  ] as const) {
    if (given !== undefined && given !== fixed) {
      throw new RequestError('P6_CONFLICT', `${field} of a registered agent cannot be changed`, { field })
    }
  }
  return agents.change(known.id, { ...changes, changedBy: caller, ...(typeof version === 'number' && { version }) })
}

/** The version that the caller has seen; `*` for whichever there is; `undefined` if none has to be there. */
type AnyVersion = number | '*' | undefined

function versionOf(request: FastifyRequest, { version }: AgentBody): AnyVersion {
  const header = request.headers['if-match']
  if (header === undefined) return version
  if (header === '*') return version ?? '*'
  const seen = /^"?(\d{1,15})"?$/.exec(header)?.[1]
  if (seen === undefined) throw invalid('If-Match', 'must be the version of the agent, as ETag has it')
  if (version !== undefined && version !== Number(seen)) throw invalid('version', 'is another one than If-Match has')
  return Number(seen)
}

function tagged(reply: FastifyReply, agent: Agent): Agent {
  reply.header('etag', `"${agent.version}"`)
  return agent
}
