// A limit of requests under way, from when a caller is let in until the answer is there: as long as a body is in memory and
// the engine may be asked, whether the caller still waits or not. Strangers are sent away before they count.
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'

const TELL_EVERY_MS = 1000

declare module 'fastify' {
  interface FastifyRequest {
    inFlight: boolean
  }
}

export class InFlight {
  readonly #limit: number
  readonly #log: FastifyBaseLogger
  #count = 0
  #toldAt = -Infinity

  constructor(app: FastifyInstance, limit: number) {
    this.#limit = limit
    this.#log = app.log
    app.decorateRequest('inFlight', false)
    // Every request that was let in comes here, however it ends; one whose answer cannot be sent comes twice.
    app.addHook('onSend', (request, _reply, _payload, done) => {
      if (request.inFlight) this.#count -= 1
      request.inFlight = false
      done()
    })
  }

  /** Counts a request; `false` if there are too many. */
  enter(request: FastifyRequest): boolean {
    if (this.#count >= this.#limit) {
      this.#tell()
      return false
    }
    this.#count += 1
    request.inFlight = true
    return true
  }

  #tell(): void {
    const now = performance.now()
    if (now - this.#toldAt < TELL_EVERY_MS) return
    this.#toldAt = now
    this.#log.warn({ limit: this.#limit }, 'too many requests in flight: refusing some')
  }
}
