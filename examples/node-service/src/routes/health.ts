import type { FastifyInstance, FastifyReply } from 'fastify'
import { type Health, version } from 'trust-engine'

import type { HealthProbe } from '../health.js'

/** Open to everyone: it says nothing but up and down. */
export function healthRoutes(app: FastifyInstance, probe: HealthProbe): void {
  app.get('/health', async (_request, reply) => {
    const checks = await probe.checks()
    return answer(reply, statusOf(checks), checks, checks.database === 'up')
  })

  app.get('/health/ready', async (_request, reply) => {
    const checks = await probe.checks()
    return answer(reply, probe.draining ? 'unhealthy' : statusOf(checks), checks, !probe.draining && checks.database === 'up')
  })
}

/** Without Redis everything works, only slower. */
function statusOf({ database, redis }: Health): 'healthy' | 'degraded' | 'unhealthy' {
  if (database === 'down') return 'unhealthy'
  return redis === 'down' ? 'degraded' : 'healthy'
}

function answer(reply: FastifyReply, status: string, checks: Health, ok: boolean): object {
  reply.code(ok ? 200 : 503)
  return { status, version, timestamp: new Date().toISOString(), checks }
}
