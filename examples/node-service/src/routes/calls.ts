// The routes of the engine's table of calls: path, parameters, body and permission are those of the rows. The engine
// reads and checks all of it, and its errors are those of the contract.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Answer, type CallRow, callTable } from 'trust-engine'

import { callerOf, type Guard } from '../auth.js'
import { invalid } from '../errors.js'
import { bodyOf, headerOf, type Parameters, parametersOf } from '../parameters.js'

/** Rows with a form of their own: `stats.ts` keeps answers for a while. */
const OTHERS = new Set(['stats.get'])
/** The contract's bound; hosts in process may ask for more. */
const MAX_PAGE = 100

/** The calls that carry the load: bytes in, text out, with nothing in between. */
const HOT: { readonly [name: string]: (request: FastifyRequest) => Promise<string> } = {
  'gates.evaluate': (request) => callerOf(request).calls.evaluateGate(bodyOf(request), request.id, headerOf(request, 'traceparent')),
  'ceilings.check': (request) =>
    callerOf(request).calls.checkCeiling(
      bodyOf(request),
      headerOf(request, 'idempotency-key'),
      request.id,
      headerOf(request, 'traceparent'),
    ),
}

export function callRoutes(app: FastifyInstance, guard: Guard): void {
  for (const row of callTable) {
    if (row.route === null || OTHERS.has(row.name)) continue
    app.route({
      method: row.route.method,
      url: row.route.path.replace(/\{(\w+)\}/g, ':$1'),
      ...(row.maxBody > 0 && { bodyLimit: row.maxBody }),
      onRequest: guard(row.permission),
      handler: HOT[row.name] ?? ((request, reply) => callOf(row, request, reply)),
    })
  }
}

async function callOf({ name, maxBody }: CallRow, request: FastifyRequest, reply: FastifyReply): Promise<string> {
  const { calls } = callerOf(request)
  const answer = await calls.call(name, bounded(parametersOf(request)), {
    requestId: request.id,
    ...(maxBody > 0 && { body: bodyOf(request) }),
    ...given('ifMatch', headerOf(request, 'if-match')),
    ...given('idempotencyKey', headerOf(request, 'idempotency-key')),
    ...given('traceparent', headerOf(request, 'traceparent')),
  })
  return sent(reply, answer)
}

function sent(reply: FastifyReply, { status, body, contentType, etag, immutable }: Answer): string {
  reply.code(status).header('content-type', contentType)
  if (etag !== undefined) reply.header('etag', etag)
  // The answer is for this caller only.
  if (immutable) reply.headers({ 'cache-control': 'private, immutable, max-age=31536000', vary: 'Authorization, X-API-Key' })
  return body
}

function bounded(parameters: Parameters): Parameters {
  if (Number(parameters['pageSize'] ?? 1) > MAX_PAGE) throw invalid('pageSize', `must be a whole number from 1 to ${MAX_PAGE}`)
  return parameters
}

function given<N extends string>(name: N, value: string | undefined): { [name in N]?: string } {
  return value === undefined ? {} : ({ [name]: value } as { [name in N]: string })
}
