import type { FastifyInstance } from 'fastify'

import { callerOf, type Guard } from '../auth.js'
import { bodyOf, traceOf } from '../parameters.js'

export function gateRoutes(app: FastifyInstance, guard: Guard): void {
  app.post('/role-gates/evaluate', { onRequest: guard('gates:evaluate') }, (request) =>
    callerOf(request).calls.evaluateGate(bodyOf(request), request.id, traceOf(request)),
  )
}
