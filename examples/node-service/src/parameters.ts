// The parts of a request as the engine takes them. It reads what is in them.
import type { FastifyRequest } from 'fastify'

const NOTHING = Buffer.alloc(0)

/** Parameters by their names; one that is there more than once is a list, which the engine refuses. */
export type Parameters = Record<string, string | string[]>

/** The body as it came. */
export function bodyOf({ body }: FastifyRequest): Buffer {
  return Buffer.isBuffer(body) ? body : NOTHING
}

/** The parameters of path and query string. */
export function parametersOf(request: FastifyRequest): Parameters {
  const path = request.params as Record<string, string>
  const query = request.query as Parameters
  const parameters: Parameters = { ...query, ...path }
  for (const name of Object.keys(path)) {
    if (Object.hasOwn(query, name)) parameters[name] = [query[name], path[name]].flat() as string[]
  }
  return parameters
}

/** A header; Node joins those that are repeated to one text, which is none of the values that these take. */
export function headerOf({ headers }: FastifyRequest, name: 'if-match' | 'idempotency-key' | 'traceparent'): string | undefined {
  return headers[name] as string | undefined
}
