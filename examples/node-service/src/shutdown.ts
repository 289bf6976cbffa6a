// How the service stops: it takes no new connections, answers the requests under way, and commits the waiting records.
// Requests have a time limit and the engine has another, so that it is closed however callers behave.
import { once } from 'node:events'
import type { Socket } from 'node:net'

import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { TrustEngine } from 'trust-engine'

import type { HealthProbe } from './health.js'

const SWEEP_MS = 50
const ENGINE_TIMEOUT_MS = 10_000

/** Stops the service on SIGTERM and SIGINT, and ends the process. A second signal ends the wait for requests. */
export function stopOnSignals(app: FastifyInstance, engine: TrustEngine, probe: HealthProbe, timeoutSeconds: number): void {
  const sockets = follow(app)
  const second = new AbortController()
  let stopping = false

  const stop = async (signal: string) => {
    if (stopping) {
      app.log.warn({ signal }, 'a second signal: not waiting for requests any longer')
      return second.abort()
    }
    stopping = true
    probe.draining = true
    app.log.info({ signal }, 'stopping')
    const limit = AbortSignal.any([second.signal, AbortSignal.timeout(timeoutSeconds * 1000)])
    const answered = await finishRequests(app, sockets, limit)
    const closed = await closeEngine(app.log, engine, AbortSignal.timeout(ENGINE_TIMEOUT_MS))
    process.exit(answered && closed ? 0 : 1)
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

/** Whether every request was answered before the limit. The connections of those that were not are cut. */
async function finishRequests(app: FastifyInstance, sockets: Set<Socket>, limit: AbortSignal): Promise<boolean> {
  // Connections are closed as soon as they have nothing under way.
  const sweep = setInterval(() => {
    app.server.closeIdleConnections()
    // Connections that never asked for anything do not count as idle.
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
  }, SWEEP_MS)
  try {
    if (await inTime(app.close(), limit)) return true
    app.log.error('requests were still under way: cutting their connections')
  } catch (error) {
    app.log.error({ err: error }, 'the server could not be closed in order')
  } finally {
    clearInterval(sweep)
  }
  for (const socket of sockets) socket.destroy()
  return false
}

/** Whether the engine was closed before the limit. */
export async function closeEngine(log: FastifyBaseLogger, engine: Pick<TrustEngine, 'close'>, limit: AbortSignal): Promise<boolean> {
  try {
    const closed = await inTime(engine.close(), limit)
    if (closed) log.info('the engine is closed')
    else log.error('the engine is still not closed: not waiting any longer')
    return closed
  } catch (error) {
    log.error({ err: error }, 'the engine could not be closed in order')
    return false
  }
}

/** Whether something is done before the limit. */
function inTime(work: Promise<unknown>, limit: AbortSignal): Promise<boolean> {
  return Promise.race([work.then(() => true), once(limit, 'abort').then(() => false)])
}
