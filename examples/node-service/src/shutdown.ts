// How the service stops: no new connections, what is under way is answered, what waits is committed.
import type { Socket } from 'node:net'

import type { FastifyInstance } from 'fastify'
import type { TrustEngine } from 'trust-engine'

import type { HealthProbe } from './health.js'

const SWEEP_MS = 50

/** Stops the service on SIGTERM and SIGINT, and ends the process. */
export function stopOnSignals(app: FastifyInstance, engine: TrustEngine, probe: HealthProbe, timeoutSeconds: number): void {
  const sockets = follow(app)
  let stopping = false

  const stop = async (signal: string) => {
    if (stopping) {
      app.log.warn({ signal }, 'a second signal: not waiting any longer')
      process.exit(1)
    }
    stopping = true
    probe.draining = true
    app.log.info({ signal }, 'stopping')
    setTimeout(() => {
      app.log.error(`requests were still under way after ${timeoutSeconds} s`)
      process.exit(1)
    }, timeoutSeconds * 1000).unref()
    try {
      await drain(app, sockets)
      await engine.close()
      app.log.info('stopped')
      process.exit(0)
    } catch (error) {
      app.log.error({ err: error }, 'could not stop in order')
      process.exit(1)
    }
  }
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => void stop(signal))
}

/** The connections that are open. */
function follow(app: FastifyInstance): Set<Socket> {
  const sockets = new Set<Socket>()
  app.server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return sockets
}

/** Resolves when every request is answered. Closes connections as soon as they have nothing under way. */
async function drain(app: FastifyInstance, sockets: Set<Socket>): Promise<void> {
  const sweep = setInterval(() => {
    app.server.closeIdleConnections()
    // Connections that never asked for anything do not count as idle.
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
  }, SWEEP_MS)
  try {
    await app.close()
  } finally {
    clearInterval(sweep)
  }
}
