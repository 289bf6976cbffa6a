// The HTTP server. Every request pays for the things set here, so they are few: an id, some headers, one hook.
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyReply, type FastifyRequest, LogController } from 'fastify'
import type { TrustEngine } from 'trust-engine'

import { type Guard, guards } from './auth.js'
import { answerBrokenHttp } from './broken-http.js'
import type { Config } from './config.js'
import { errorAnswer, RequestError } from './errors.js'
import { HealthProbe } from './health.js'
import { InFlight } from './in-flight.js'
import { requestId } from './request-id.js'
import { callRoutes } from './routes/calls.js'
import { healthRoutes } from './routes/health.js'
import { statsCache, statsRoutes } from './routes/stats.js'

const JSON_TYPE = 'application/json; charset=utf-8'
const MAX_BODY_BYTES = 64 * 1024
/** Longer than any id, percent-encoded. */
const MAX_PATH_PART = 1024
/** How long a request may take to arrive. */
const REQUEST_TIMEOUT_MS = 30_000

export interface Service {
  readonly app: FastifyInstance
  readonly probe: HealthProbe
}

export function buildServer(config: Config, engine: TrustEngine): Service {
  const app = Fastify({
    logger: { level: config.logLevel },
    // No child of the logger for every request: the few lines that are written about requests name them themselves.
    childLoggerFactory: (logger: FastifyBaseLogger) => logger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: requestId,
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    // Node takes the longer of both for the whole request, and by default looks only twice a minute.
    http: { headersTimeout: REQUEST_TIMEOUT_MS, connectionsCheckingInterval: 1000 },
    routerOptions: { maxParamLength: MAX_PATH_PART },
    // Requests on connections that are open when the service stops are still answered; the connections are then closed.
    return503OnClosing: false,
    trustProxy: config.trustProxy.length > 0 ? [...config.trustProxy] : false,
    frameworkErrors: (error, request, reply) => {
      setHeaders(request, reply)
      sendError(error, request, reply)
    },
    clientErrorHandler: answerBrokenHttp,
  })

  // Bodies stay bytes: the engine reads them.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))

  app.decorateRequest('principal', null)
  app.addHook('onRequest', (request, reply, done) => {
    setHeaders(request, reply)
    done()
  })
  if (['debug', 'trace'].includes(config.logLevel)) app.addHook('onResponse', logRequest)
  app.setErrorHandler(sendError)
  app.setNotFoundHandler((request) => {
    throw new RequestError('P6_NOT_FOUND', `there is no ${request.method} here`)
  })

  const probe = new HealthProbe(engine, config.storage.kind === 'postgres' && config.storage.redis !== undefined)
  const guard = guards(engine, config.keys, new InFlight(app, config.maxInFlight))
  addRoutes(app, guard, probe, config)
  return { app, probe }
}

function addRoutes(app: FastifyInstance, guard: Guard, probe: HealthProbe, config: Config): void {
  const cache = statsCache(config.statsTtlSeconds)
  for (const prefix of ['', '/api']) {
    app.register(async (scope) => healthRoutes(scope, probe), { prefix })
  }
  for (const prefix of ['/api/phase6', '/api/v1/phase6']) {
    const routes = async (api: FastifyInstance) => {
      healthRoutes(api, probe)
      callRoutes(api, guard)
      statsRoutes(api, guard, cache)
    }
    app.register(routes, { prefix })
  }
}

function setHeaders(request: FastifyRequest, reply: FastifyReply): void {
  reply.headers({
    'content-type': JSON_TYPE,
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
    'x-request-id': request.id,
  })
}

function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { status, body, retryAfter } = errorAnswer(error, request.id)
  // A refusal by the service itself is no surprise, and would fill the log when there is too much to do anyway.
  if (status >= 500 && !(error instanceof RequestError)) {
    request.log[status === 500 ? 'error' : 'warn']({ ...about(request), err: error }, 'a request failed')
  }
  if (retryAfter !== undefined) reply.header('retry-after', retryAfter)
  // Fastify takes the type away from what failed.
  reply.code(status).header('content-type', JSON_TYPE).send(body)
}

function logRequest(request: FastifyRequest, reply: FastifyReply, done: () => void): void {
  const milliseconds = Math.round(reply.elapsedTime * 1000) / 1000
  request.log.debug({ ...about(request), ip: request.ip, status: reply.statusCode, milliseconds }, 'answered')
  done()
}

/** The route and not the path: paths and query strings hold ids of agents and records. */
function about(request: FastifyRequest): object {
  const { method, id, principal, routeOptions } = request
  return { requestId: id, method, route: routeOptions?.url ?? null, key: principal?.name ?? null }
}
