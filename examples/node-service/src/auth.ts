// Finds out who calls and checks what they may do. Runs before the body is read, so that strangers cannot make the
// service read one.
import type { IncomingHttpHeaders } from 'node:http'

import type { FastifyRequest, onRequestHookHandler } from 'fastify'
import type { JsonCalls, TrustEngine } from 'trust-engine'

import { RequestError } from './errors.js'
import type { InFlight } from './in-flight.js'
import { CALL_PERMISSIONS, type Key, KeyRing, type Permission } from './keys.js'

/** A caller that has been authenticated. */
export interface Principal {
  readonly name: string
  readonly organization: string
  /** Sees the records of every organization. */
  readonly fleet: boolean
  readonly permissions: ReadonlySet<Permission>
  /** The engine's calls in this caller's name: made once per key and not per request. */
  readonly calls: JsonCalls
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Set on routes that are guarded. */
    principal: Principal | null
  }
}

export type Guard = (permission: Permission) => onRequestHookHandler

/** Makes hooks that let only callers with a permission pass, and no more at a time than there may be. */
export function guards(engine: TrustEngine, keys: readonly Key[], inFlight: InFlight): Guard {
  const ring = new KeyRing(keys)
  const principals = new Map(keys.map((key) => [key, principalOfKey(engine, key)]))
  const identify = (headers: IncomingHttpHeaders) => {
    const secret = secretIn(headers)
    const key = secret === undefined ? undefined : ring.find(secret)
    return key && principals.get(key)
  }

  return (permission) => (request, reply, done) => {
    const principal = identify(request.headers)
    if (!principal) {
      reply.header('www-authenticate', 'Bearer')
      done(new RequestError('P6_UNAUTHORIZED', 'send a valid API key as "Authorization: Bearer …" or "X-API-Key: …"'))
    } else if (!principal.permissions.has(permission)) {
      done(new RequestError('P6_FORBIDDEN', `the API key lacks the permission ${permission}`, { permission }))
    } else if (!inFlight.enter(request)) {
      done(new RequestError('P6_UNAVAILABLE', 'too many requests are under way; try again'))
    } else {
      request.principal = principal
      done()
    }
  }
}

/** The caller of a guarded route. */
export function callerOf(request: FastifyRequest): Principal {
  if (!request.principal) throw new Error('the route is not guarded')
  return request.principal
}

function principalOfKey(engine: TrustEngine, { name, organization, permissions }: Key): Principal {
  const fleet = permissions.has('fleet')
  const calls = engine.json({ name, organization, fleetWide: fleet, permissions: CALL_PERMISSIONS.filter((word) => permissions.has(word)) })
  return { name, organization, fleet, permissions, calls }
}

/** `X-API-Key` goes first: proxies put credentials of their own into `Authorization`. */
function secretIn(headers: IncomingHttpHeaders): string | undefined {
  const key = headers['x-api-key']
  if (typeof key === 'string') return key
  const { authorization } = headers
  return authorization !== undefined && /^bearer /i.test(authorization) ? authorization.slice('bearer '.length) : undefined
}
