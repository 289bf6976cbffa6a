import type { FastifyInstance } from 'fastify'

import { callerOf, type Guard } from '../auth.js'
import { bodyOf, traceOf } from '../parameters.js'

export function ceilingRoutes(app: FastifyInstance, guard: Guard): void {
  app.post('/ceiling/check', { onRequest: guard('ceilings:check') }, (request) => {
    // Node joins repeated headers of this kind to one text.
    const key = request.headers['idempotency-key'] as string | undefined
    return callerOf(request).calls.checkCeiling(bodyOf(request), key, request.id, traceOf(request))
  })
}
